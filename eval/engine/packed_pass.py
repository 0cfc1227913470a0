"""A forward pass of the plan as tensors, and how its tokens attend."""

from __future__ import annotations

from collections.abc import Sequence
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
            device: the device of the computation.
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

        # Segments cannot be empty: prefixes may all be reused, or have no token.
        self._prefixes = Segments(computed, 0, device) if sum(computed) else None
        self._forks = Segments([len(fork) for fork in forks], sum(computed), device)
        self._owners = torch.tensor(owners, device=device)
        visible = _visibility(forks, [depths[owner] for owner in owners], max(depths))
        heads_per_key = model.config.num_attention_heads // model.config.num_key_value_heads
        self._bias = attention_bias(
            torch.from_numpy(visible).to(device), heads_per_key, model.dtype
        )

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
        if self._pass.reuses_prefix:
            prefix = self._prefix_cache[layer]
        elif self._prefixes is None:
            empty = key.new_empty(len(self._pass.groups), key.shape[1], 0, key.shape[2])
            prefix = empty, empty
        else:
            q, k, v = (self._prefixes.pad(tensor) for tensor in (query, key, value))
            outputs.append(self._prefixes.unpad(causal_attention(q, k, v, scale)))
            prefix = k.transpose(1, 2), v.transpose(1, 2)
        if self._pass.keeps_prefix:
            self._prefix_cache[layer] = prefix
        # Each fork gets a copy of its prefix: SDPA takes as many batches of keys as of queries.
        keys, values = (
            torch.cat([before[self._owners], self._forks.pad(own).transpose(1, 2)], 2)
            for before, own in zip(prefix, (key, value), strict=True)
        )
        attended = masked_attention(self._forks.pad(query), keys, values, self._bias, scale)
        outputs.append(self._forks.unpad(attended))
        return torch.cat(outputs)


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
