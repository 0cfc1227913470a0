"""The disk space that a run takes."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.division import ceil_div
from sft.config import SFTConfig
from sft.configs.checkpoint import state_bytes

TOKEN_BYTES = 5
"""Bytes per token in the token cache: its id in int32, and its reason in uint8."""
ROW_BYTES = 24
"""Bytes per row there, beside its tokens: length and supervised count in int32, number and
digest in 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskEstimate:
    """Bytes below run.root; states offloaded to a disk lie on each node's own."""

    checkpoint: float
    """Bytes of one checkpoint."""
    checkpoints: int
    """Most checkpoints at a time."""
    model: float
    """Bytes of the exported model, in bf16."""

    @classmethod
    def of(cls, config: SFTConfig, steps: int | None) -> DiskEstimate:
        """Estimate the disk space of a run.

        Args:
            config: of the run.
            steps: that it makes, if known: a short run may save fewer checkpoints than it may keep.
        """
        parameters = config.model.shape.num_parameters()
        checkpoints = config.checkpoint.most_copies(measured=config.validation.is_on)
        if steps is not None:
            checkpoints = min(checkpoints, ceil_div(steps, config.checkpoint.every_steps))
        return cls(
            checkpoint=state_bytes(config.precision, config.optimizer) * parameters,
            checkpoints=checkpoints,
            model=2 * parameters,
        )

    def total(self) -> float:
        """Return the bytes of all checkpoints and of the model."""
        return self.checkpoint * self.checkpoints + self.model


def token_cache_bytes(rows: int, tokens: int) -> int:
    """Return the bytes of a data set's token cache."""
    return TOKEN_BYTES * tokens + ROW_BYTES * rows
