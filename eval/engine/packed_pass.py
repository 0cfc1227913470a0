"""A pass of the plan as tensors, and how its tokens attend."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import torch

from eval.engine.attention import bias_of, causal, masked
from eval.engine.plan import Pass, Row

Store = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of a trunk by layer, each [1, key heads, P, width]."""


class PassLayout:
    """Trunks end to end, then rows end to end, as one flat row of T tokens.

    Attributes:
        ids: [1, T].
        positions: [1, T].
        places: [S], where in the flat row something is predicted that is scored.
        scored: [K], for each scored token the index of its place among `places`.
        targets: [K], the scored tokens.
        spans: scored tokens of each request, in the order of `Pass.numbers()`.
    """

    def __init__(self, one: Pass, model: Any, device: torch.device, store: Store) -> None:
        """Lay out a pass.

        Args:
            one: the pass.
            model: a causal language model; its config and its type of numbers matter.
            device: that it computes on.
            store: holds the trunk of the pass before, and takes that which the pass after needs.
        """
        self._pass, self._store = one, store
        rows = [row for group in one.groups for row in group.rows]
        owners = [owner for owner, group in enumerate(one.groups) for _ in group.rows]
        depths = [len(group.trunk) for group in one.groups]
        ran = [] if one.is_resumed else depths

        ids = [] if one.is_resumed else [group.trunk for group in one.groups]
        positions: list[Sequence[int]] = [range(length) for length in ran]
        for row, owner in zip(rows, owners, strict=True):
            branches = [tokens[:-1] for tokens in row.continuations]
            ids += [row.context, *branches]
            start = depths[owner] + len(row.context)
            positions.append(range(depths[owner], start))
            positions += [range(start, start + len(tokens)) for tokens in branches]
        self.ids, self.positions = (
            torch.tensor([list(chain.from_iterable(parts))], device=device)
            for parts in (ids, positions)
        )
        self._score(rows, sum(ran), device)

        self._trunks = Runs(ran, 0, device) if sum(ran) else None
        self._rows = Runs([len(row) for row in rows], sum(ran), device)
        self._owners = torch.tensor(owners, device=device)
        visible = torch.from_numpy(_visible(rows, [depths[owner] for owner in owners], max(depths)))
        together = model.config.num_attention_heads // model.config.num_key_value_heads
        self._bias = bias_of(visible.to(device), together, model.dtype)

    def _score(self, rows: Sequence[Row], start: int, device: torch.device) -> None:
        """Find where scored tokens are predicted."""
        places: list[int] = []
        scored: list[int] = []
        targets: list[int] = []
        self.spans: list[int] = []
        for row in rows:
            fork, end = start + len(row.context) - 1, start + len(row.context)
            at_fork = len(places)
            places.append(fork)
            for tokens in row.continuations:
                scored += [at_fork, *range(len(places), len(places) + len(tokens) - 1)]
                places += range(end, end + len(tokens) - 1)
                end += len(tokens) - 1
                targets += tokens
                self.spans.append(len(tokens))
            start = end
        self.places, self.scored, self.targets = (
            torch.tensor(each, device=device) for each in (places, scored, targets)
        )

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Trunks causally, then each row to its trunk and to itself."""
        outputs = []
        if self._pass.is_resumed:
            trunk = self._store[layer]
        elif self._trunks is None:
            nothing = key.new_empty(len(self._pass.groups), key.shape[1], 0, key.shape[2])
            trunk = nothing, nothing
        else:
            q, k, v = (self._trunks.padded(tensor) for tensor in (query, key, value))
            outputs.append(self._trunks.flat(causal(q, k, v, scale)))
            trunk = k.transpose(1, 2), v.transpose(1, 2)
        if self._pass.is_continued:
            self._store[layer] = trunk
        keys, values = (
            torch.cat([before[self._owners], self._rows.padded(own).transpose(1, 2)], 2)
            for before, own in zip(trunk, (key, value), strict=True)
        )
        seen = masked(self._rows.padded(query), keys, values, self._bias, scale)
        outputs.append(self._rows.flat(seen))
        return torch.cat(outputs)


class Runs:
    """Runs of tokens that lie end to end, and the same padded to the longest."""

    def __init__(self, lengths: Sequence[int], start: int, device: torch.device) -> None:
        longest = max(lengths)
        starts = list(accumulate(lengths, initial=start))[:-1]
        real = np.arange(longest) < np.array(lengths)[:, None]
        index = np.where(real, np.arange(longest) + np.array(starts)[:, None], start)
        self._index = torch.from_numpy(index).to(device)
        self._real = torch.from_numpy(real.reshape(-1).nonzero()[0]).to(device)

    def padded(self, flat: torch.Tensor) -> torch.Tensor:
        """From [T, …] of the whole flat row to [runs, longest, …]."""
        return flat[self._index]

    def flat(self, padded: torch.Tensor) -> torch.Tensor:
        """From [runs, longest, …] to [tokens of all runs, …]."""
        return padded.flatten(0, 1)[self._real]


def _visible(rows: Sequence[Row], depths: Sequence[int], deepest: int) -> np.ndarray:
    """What each token of each row sees: trunk, context, and its own continuation before it.

    Args:
        rows: of the pass.
        depths: tokens of each one's trunk.
        deepest: tokens that trunks are padded to.

    Returns:
        [rows, longest, deepest + longest].
    """
    longest = max(map(len, rows))
    branch = np.zeros((len(rows), longest), dtype=np.int32)
    for line, row in zip(branch, rows, strict=True):
        end = len(row.context)
        for number, tokens in enumerate(row.continuations, start=1):
            line[end : end + len(tokens) - 1] = number
            end += len(tokens) - 1
    own = (branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])
    own &= np.tri(longest, dtype=bool)
    trunk = np.arange(deepest) < np.array(depths)[:, None]
    return np.concatenate([np.broadcast_to(trunk[:, None], (*own.shape[:2], deepest)), own], 2)
