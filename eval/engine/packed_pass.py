"""A forward pass of the plan as tensors, and how its tokens attend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain

import numpy as np
import torch

from eval.engine.attention import attention_bias, causal_attention, masked_attention
from eval.engine.plan import Fork, ForwardPass
from pacos.model.protocols import CausalLM

PrefixCache = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of a shared prefix by layer, each [1, key heads, P, width]."""


class PackedPass:
    """Prefixes end to end, then forks end to end, as one flat sequence of T tokens.

    Attributes:
        ids: [1, T].
        positions: [1, T].
        places: [S], positions in the flat sequence that predict a scored token.
        scored: [K], for each scored token the index of its position among `places`.
        targets: [K], the scored tokens.
        spans: number of scored tokens of each request, in the order of
            `ForwardPass.request_indices()`.
    """

    def __init__(
        self,
        forward_pass: ForwardPass,
        model: CausalLM,
        device: torch.device,
        prefix_cache: PrefixCache,
    ) -> None:
        """Lay out a pass.

        Args:
            forward_pass: the pass.
            model: a causal language model, of which config and dtype are used.
            device: the device of the model's inputs.
            prefix_cache: holds the prefix of the previous pass, and receives the one that the next
                pass needs.
        """
        self._pass, self._prefix_cache = forward_pass, prefix_cache
        groups = forward_pass.groups
        forks = [fork for group in groups for fork in group.forks]
        owners = [owner for owner, group in enumerate(groups) for _ in group.forks]
        depths = [len(group.prefix) for group in groups]
        computed = [] if forward_pass.reuses_prefix else depths

        ids = [] if forward_pass.reuses_prefix else [group.prefix for group in groups]
        positions: list[Sequence[int]] = [range(length) for length in computed]
        for fork, owner in zip(forks, owners, strict=True):
            branches = [tokens[:-1] for tokens in fork.continuations]
            ids += [fork.context, *branches]
            start = depths[owner] + len(fork.context)
            positions.append(range(depths[owner], start))
            # Every continuation starts right after the context, whatever lies between in the row.
            positions += [range(start, start + len(tokens)) for tokens in branches]
        self.ids, self.positions = (
            torch.tensor([list(chain.from_iterable(parts))], device=device)
            for parts in (ids, positions)
        )
        self._find_scored_tokens(forks, sum(computed), device)

        visible = _visibility(forks, [depths[owner] for owner in owners], max(depths))
        heads_per_key = model.config.num_attention_heads // model.config.num_key_value_heads
        dtype = model.dtype

        @cache
        def layout(device: torch.device) -> _Layout:
            """Return the layout on the GPU of a layer: a model may be spread over several."""
            return _Layout(
                # Segments cannot be empty: prefixes may all be reused, or have no token.
                Segments(computed, 0, device) if sum(computed) else None,
                Segments([len(fork) for fork in forks], sum(computed), device),
                torch.tensor(owners, device=device),
                attention_bias(torch.from_numpy(visible).to(device), heads_per_key, dtype),
            )

        self._layout_on = layout

    def _find_scored_tokens(self, forks: Sequence[Fork], start: int, device: torch.device) -> None:
        """Set `places`, `scored`, `targets` and `spans`."""
        places: list[int] = []
        scored: list[int] = []
        targets: list[int] = []
        self.spans: list[int] = []
        for fork in forks:
            branching, end = start + len(fork.context) - 1, start + len(fork.context)
            at_branching = len(places)
            places.append(branching)
            for tokens in fork.continuations:
                # The context's last token predicts the first token of every continuation.
                scored += [at_branching, *range(len(places), len(places) + len(tokens) - 1)]
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
        """Attend causally within prefixes, then from each fork to its prefix and to itself."""
        outputs = []
        layout = self._layout_on(query.device)
        if self._pass.reuses_prefix:
            prefix = self._prefix_cache[layer]
        elif layout.prefixes is None:
            empty = key.new_empty(len(self._pass.groups), key.shape[1], 0, key.shape[2])
            prefix = empty, empty
        else:
            q, k, v = (layout.prefixes.pad(tensor) for tensor in (query, key, value))
            outputs.append(layout.prefixes.unpad(causal_attention(q, k, v, scale)))
            prefix = k.transpose(1, 2), v.transpose(1, 2)
        if self._pass.keeps_prefix:
            self._prefix_cache[layer] = prefix
        # Each fork gets a copy of its prefix: SDPA takes as many batches of keys as of queries.
        keys, values = (
            torch.cat([before[layout.owners], layout.forks.pad(own).transpose(1, 2)], 2)
            for before, own in zip(prefix, (key, value), strict=True)
        )
        attended = masked_attention(layout.forks.pad(query), keys, values, layout.bias, scale)
        outputs.append(layout.forks.unpad(attended))
        return torch.cat(outputs)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The tensors with which a pass attends, on one device."""

    prefixes: Segments | None
    """None if no prefix is computed."""
    forks: Segments
    owners: torch.Tensor
    """[forks], the index of each fork's prefix."""
    bias: torch.Tensor
    """Of `masked_attention`, for the forks."""


class Segments:
    """Segments that lie end to end in a flat sequence, and the same padded to the longest."""

    def __init__(self, lengths: Sequence[int], start: int, device: torch.device) -> None:
        longest = max(lengths)
        starts = list(accumulate(lengths, initial=start))[:-1]
        real = np.arange(longest) < np.array(lengths)[:, None]
        # Padding repeats a token of the sequence: it is masked or dropped, but must be in range.
        index = np.where(real, np.arange(longest) + np.array(starts)[:, None], start)
        self._index = torch.from_numpy(index).to(device)
        self._real = torch.from_numpy(real.reshape(-1).nonzero()[0]).to(device)

    def pad(self, flat: torch.Tensor) -> torch.Tensor:
        """Convert [T, …] of the whole flat sequence to [segments, longest, …]."""
        return flat[self._index]

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """Convert [segments, longest, …] to [tokens of all segments, …]."""
        return padded.flatten(0, 1)[self._real]


def _visibility(forks: Sequence[Fork], depths: Sequence[int], deepest: int) -> np.ndarray:
    """Return which tokens each fork token sees: prefix, context, and its own continuation so far.

    Args:
        forks: the forks of the pass.
        depths: tokens of each fork's prefix.
        deepest: length to which prefixes are padded.

    Returns:
        [forks, longest, deepest + longest].
    """
    longest = max(map(len, forks))
    branch = np.zeros((len(forks), longest), dtype=np.int32)
    for line, fork in zip(branch, forks, strict=True):
        end = len(fork.context)
        for number, tokens in enumerate(fork.continuations, start=1):
            line[end : end + len(tokens) - 1] = number
            end += len(tokens) - 1
    # Padding counts as context (branch 0), so it sees something: a row of -inf alone gives NaN.
    own = (branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])
    own &= np.tri(longest, dtype=bool)
    prefix = np.arange(deepest) < np.array(depths)[:, None]
    return np.concatenate([np.broadcast_to(prefix[:, None], (*own.shape[:2], deepest)), own], 2)
