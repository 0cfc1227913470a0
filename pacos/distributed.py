"""Ranks: who this process is, and the few collectives that pacos uses. No-ops for one rank."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pacos.errors import UserError
from pacos.rank import RANK_VARIABLES, is_rank

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


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

    def gather(self, value: T) -> list[T]:
        """What every rank has, by rank. Values are pickled: small ones, now and then."""
        if self.size == 1:
            return [value]
        import torch.distributed

        values = [value] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def together(self, act: Callable[[], T]) -> T:
        """Act as every other rank does, and fail as any of them does.

        Raises:
            UserError: a rank could not, of its user's or its disk's fault.
        """
        value: T | None = None
        mine: Exception | None = None
        said: str | None = None
        try:
            value = act()
        except UserError as error:
            mine, said = error, str(error)
        except Exception as error:  # noqa: BLE001  # raised below, when the others know
            mine, said = error, f"rank {self.rank} on {platform.node()}: {error or repr(error)}"
        failures = [words for words in self.gather(said) if words is not None]
        if mine is not None and not isinstance(mine, (UserError, OSError)):
            raise mine
        if failures:
            raise UserError(failures[0]) from mine
        return value  # type: ignore[return-value]  # it acted

    def on_main(self, act: Callable[[], T]) -> T:
        """What rank 0 gets by acting, on every rank; its failure is everyone's."""
        value = self.together(act if self.is_main else lambda: None)
        return self.gather(value)[0]  # type: ignore[return-value]  # rank 0's is no None of ours
