"""Ranks: who this process is, and the few collectives that pacos uses. No-ops for one rank."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pacos.rank import RANK_VARIABLES, is_rank

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class World:
    """This process among all ranks of the job."""

    rank: int
    size: int
    local_rank: int

    @classmethod
    def from_env(cls) -> World:
        """Read what the launcher set; a process without a launcher is rank 0 of 1."""
        if not is_rank():
            return cls(rank=0, size=1, local_rank=0)
        rank, local_rank, size = (int(os.environ[name]) for name in RANK_VARIABLES)
        return cls(rank=rank, size=size, local_rank=local_rank)

    @property
    def is_main(self) -> bool:
        """Rank 0: the one that writes, prints and tracks."""
        return self.rank == 0

    @property
    def loss_scale(self) -> int:
        """Factor on the local loss that makes DeepSpeed's mean over ranks a sum."""
        return self.size

    def barrier(self) -> None:
        """Wait for every rank."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.barrier()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over ranks, in place."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.all_reduce(values)
        return values

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set on any rank."""
        import torch

        return bool(self.sum(torch.tensor([int(flag)], device=device)).item())
