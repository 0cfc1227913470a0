"""Disk that a run takes."""

from __future__ import annotations

from dataclasses import dataclass

from sft.config import SFTConfig
from sft.configs.checkpoint import STATE_BYTES

TOKEN_BYTES = 5
"""Of a token in the cache: its number, and whether it carries loss."""
ROW_BYTES = 16
"""Of a row there, beside its tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskNeed:
    """Bytes by what they are for."""

    checkpoint: float
    """Of one."""
    checkpoints: int
    """Most that there are at a time."""
    model: float
    """Exported, in bf16."""

    @classmethod
    def of(cls, config: SFTConfig, steps: int | None) -> DiskNeed:
        """What lies below run.root; what is offloaded to a disk lies on each machine's own.

        Args:
            config: of the run.
            steps: that it makes, if that is known: a short run saves less often than it may keep.
        """
        parameters = config.model.shape.num_parameters()
        checkpoints = config.checkpoint.most_copies(measured=config.validation.rows > 0)
        if steps is not None:
            checkpoints = min(checkpoints, -(-steps // config.checkpoint.every_steps))
        return cls(
            checkpoint=STATE_BYTES[config.precision] * parameters,
            checkpoints=checkpoints,
            model=2 * parameters,
        )

    def total(self) -> float:
        return self.checkpoint * self.checkpoints + self.model


def token_cache_bytes(rows: int, tokens: int) -> int:
    """Bytes of the token cache of a data set."""
    return TOKEN_BYTES * tokens + ROW_BYTES * rows
