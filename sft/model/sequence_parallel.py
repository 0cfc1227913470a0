"""Rows of tokens that several ranks share (Ulysses, arXiv 2309.14509).

Each rank holds an equal part of the tokens of every layer, except in attention: there an exchange
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
    """The ranks that share rows with this one: neighbours, so that they are on one node."""

    rank: int
    """Of this rank within the group."""
    size: int
    group: distributed.ProcessGroup

    @classmethod
    def of(cls, world: World, size: int) -> SequenceGroup | None:
        """Join this rank's group; every rank calls it. None where no row is shared."""
        if size == 1:
            return None
        group, _ = distributed.new_subgroups(size)
        assert group is not None
        return cls(rank=world.rank % size, size=size, group=group)

    def share(self, batch: Batch) -> Batch:
        """This rank's part of the tokens; where documents begin is still said of the whole row.

        A row that cannot be divided evenly is lengthened by one more document without loss.
        """
        tokens = batch.input_ids.shape[1]
        part = ceil_div(tokens, self.size)
        missing = part * self.size - tokens
        first, last = self.rank * part, (self.rank + 1) * part
        mine = (batch.scored >= first) & (batch.scored < last)
        filling = torch.arange(missing, device=batch.position_ids.device)
        positions = torch.cat([batch.position_ids, filling[None]], dim=1)
        ends = batch.cu_seq_lens
        if missing:
            ends = functional.pad(ends, (0, 1), value=part * self.size)
        return dataclasses.replace(
            batch,
            input_ids=functional.pad(batch.input_ids, (0, missing))[:, first:last],
            position_ids=positions[:, first:last],
            scored=batch.scored[mine] - first,
            targets=batch.targets[mine],
            cu_seq_lens=ends,
        )

    def gather_tokens(self, part: torch.Tensor) -> torch.Tensor:
        """[T / size, heads, width] to [T, heads / size, width]."""
        tokens, heads, width = part.shape
        sent = part.reshape(tokens, self.size, heads // self.size, width).transpose(0, 1)
        return self._exchange(sent).flatten(0, 1)

    def gather_heads(self, part: torch.Tensor) -> torch.Tensor:
        """[T, heads / size, width] to [T / size, heads, width]."""
        tokens, heads, width = part.shape
        sent = part.reshape(self.size, tokens // self.size, heads, width)
        return self._exchange(sent).transpose(0, 1).flatten(1, 2)

    def _exchange(self, sent: torch.Tensor) -> torch.Tensor:
        """Part i goes to rank i; part i of the result came from rank i."""
        sent = sent.contiguous()
        return all_to_all_single(torch.empty_like(sent), sent, group=self.group)
