"""This process among all ranks, and the few collectives that pacos uses.

Every method except `from_env` and the properties is a collective: all ranks must call it, in the
same order. With a single rank they do nothing.
"""

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
        """True for rank 0: the one that writes, prints and tracks."""
        return self.rank == 0

    @property
    def loss_scale(self) -> int:
        """Factor on the local loss that turns DeepSpeed's mean over ranks into a sum."""
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
        """Return True if the flag is set on any rank."""
        import torch

        return bool(self.sum(torch.tensor([int(flag)], device=device)).item())

    def gather(self, value: T) -> list[T]:
        """Return every rank's value, by rank. Values are pickled: keep them small and rare."""
        if self.size == 1:
            return [value]
        import torch.distributed

        values = [value] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def together(self, act: Callable[[], T]) -> T:
        """Act on every rank, and fail on every rank if any of them fails.

        A rank that raised alone would leave the others waiting in their next collective, and hide
        its reason behind their timeout.

        Raises:
            UserError: a rank failed by a fault of its user or its disk.
            Exception: any other error of this rank, which is a defect.
        """
        value: T | None = None
        own_error: Exception | None = None
        own_message: str | None = None
        try:
            value = act()
        except UserError as error:
            own_error, own_message = error, str(error)
        except Exception as error:  # noqa: BLE001  # raised below, once the others know
            own_error = error
            own_message = f"rank {self.rank} on {platform.node()}: {error or repr(error)}"
        messages = [message for message in self.gather(own_message) if message is not None]
        # A defect keeps its type and its traceback.
        if own_error is not None and not isinstance(own_error, (UserError, OSError)):
            raise own_error
        if messages:
            raise UserError(messages[0]) from own_error
        return value  # type: ignore[return-value]  # nothing was raised

    def on_main(self, act: Callable[[], T]) -> T:
        """Act on rank 0, and return its result on every rank; its failure is everyone's."""
        value = self.together(act if self.is_main else lambda: None)
        return self.gather(value)[0]  # type: ignore[return-value]  # rank 0's own result
