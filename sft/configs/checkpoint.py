"""Config of checkpoints: how often to save, and how many to keep."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem
from sft.configs.compute import Precision
from sft.configs.optimizer import OptimizerConfig


def state_bytes(precision: Precision, optimizer: OptimizerConfig) -> int:
    """Return the bytes per parameter in a checkpoint.

    A checkpoint has the optimizer's copy of each parameter and the optimizer's states, in fp32 or
    bf16. The working weights are not saved: they are that copy, rounded.
    """
    return (2 if precision is Precision.bf16_states else 4) * (1 + len(optimizer.STATES))


@dataclass(kw_only=True, slots=True)
class CheckpointConfig:
    """The cost of a crash in steps, and of checkpoints in disk space."""

    every_steps: int = 200
    """Steps between checkpoints. A crash costs the steps since the last complete one: up to these,
    and those made while it was being written."""
    keep: int = 2
    """Newest checkpoints to keep on disk, at 12 bytes per parameter each (6 with
    precision=bf16_states). With 1, a damaged checkpoint leaves nothing to resume from."""
    keep_best: bool = True
    """Also keep the checkpoint with the lowest validation loss, if it is older than those. Only
    steps that are both measured (`validation.every_steps`) and saved are candidates."""

    def most_copies(self, *, measured: bool) -> int:
        """Return the most checkpoints on disk at a time.

        The newest is written before the oldest is removed, hence one more than `keep`.

        Args:
            measured: True if the run has a validation loss.
        """
        return self.keep + 1 + (self.keep_best and measured)

    def problems(self) -> list[Problem]:
        at_least_one = {"every_steps": self.every_steps, "keep": self.keep}
        return [
            Problem(f"checkpoint.{key}", value, "must be at least 1", "raise it")
            for key, value in at_least_one.items()
            if value < 1
        ]
