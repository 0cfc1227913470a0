"""Rows of tokens that several ranks share (Ulysses, arXiv 2309.14509).

Each rank holds an equal part of the tokens in every layer, except in attention: there an all-to-all
gives it all tokens of an equal part of the heads, so that attention sees whole documents.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import distributed
from torch.distributed.nn.functional import all_to_all_single
from torch.nn import functional

from pacos.distributed import World
from pacos.division import ceil_div
from sft.steps.batch import Batch


@dataclass(frozen=True, slots=True)
class SequenceGroup:
    """The ranks that share rows with this one: neighbors, so that they are on one node."""

    rank: int
    """This rank's number within the group."""
    size: int
    group: distributed.ProcessGroup

    @classmethod
    def of(cls, world: World, size: int) -> SequenceGroup | None:
        """Join this rank's group; every rank calls it. Return None if rows are not shared."""
        if size == 1:
            return None
        group, _ = distributed.new_subgroups(size)
        assert group is not None
        return cls(rank=world.rank % size, size=size, group=group)

    def share(self, batch: Batch) -> Batch:
        """Return this rank's part of the tokens; `cu_seq_lens` still describes the whole row.

        A row that does not divide evenly gets one more document, without supervised tokens: every
        rank must hold the same number of tokens for the all-to-all.
        """
        tokens = batch.input_ids.shape[1]
        part = ceil_div(tokens, self.size)
        missing = part * self.size - tokens
        first, last = self.rank * part, (self.rank + 1) * part
        is_own = (batch.scored >= first) & (batch.scored < last)
        filling = torch.arange(missing, device=batch.position_ids.device)
        positions = torch.cat([batch.position_ids, filling[None]], dim=1)
        ends = batch.cu_seq_lens
        if missing:
            ends = functional.pad(ends, (0, 1), value=part * self.size)
        return dataclasses.replace(
            batch,
            input_ids=functional.pad(batch.input_ids, (0, missing))[:, first:last],
            position_ids=positions[:, first:last],
            scored=batch.scored[is_own] - first,
            targets=batch.targets[is_own],
            cu_seq_lens=ends,
        )

    def gather_tokens(self, part: torch.Tensor) -> torch.Tensor:
        """Exchange [T / size, heads, width] for [T, heads / size, width]."""
        tokens, heads, width = part.shape
        sent = part.reshape(tokens, self.size, heads // self.size, width).transpose(0, 1)
        return self._exchange(sent).flatten(0, 1)

    def gather_heads(self, part: torch.Tensor) -> torch.Tensor:
        """Exchange [T, heads / size, width] for [T / size, heads, width]."""
        tokens, heads, width = part.shape
        sent = part.reshape(self.size, tokens // self.size, heads, width)
        return self._exchange(sent).transpose(0, 1).flatten(1, 2)

    def _exchange(self, sent: torch.Tensor) -> torch.Tensor:
        """Send part i to rank i; part i of the result came from rank i."""
        sent = sent.contiguous()
        # The functional form, whose backward pass is the reverse exchange.
        return all_to_all_single(torch.empty_like(sent), sent, group=self.group)
