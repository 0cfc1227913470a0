"""Config of checkpoints: how often, and how many are kept."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem
from sft.configs.compute import Precision

STATE_BYTES = {Precision.bf16: 12, Precision.fp32: 12, Precision.bf16_states: 6}
"""Of a parameter in a checkpoint: the optimizer's own copy of it and its two moments, in fp32 or in
bf16. The working weights are that copy, rounded."""


@dataclass(kw_only=True, slots=True)
class CheckpointConfig:
    """What a crash may cost, in steps and in disk."""

    every_steps: int = 200
    """Steps between checkpoints. A crash costs the steps since the last one that is whole: these,
    and those made while it was being written."""
    keep: int = 2
    """Newest checkpoints kept on disk, 12 bytes a parameter each. With 1, a damaged one leaves none
    to go on from."""
    keep_best: bool = True
    """Keep one more, that with the lowest validation loss, if it is older than those. Only steps
    that are both measured (`validation.every_steps`) and saved can be the best."""

    def most_copies(self, *, measured: bool) -> int:
        """Most checkpoints on disk at a time: the newest is written before the oldest is removed.

        Args:
            measured: whether there is a validation loss.
        """
        return self.keep + 1 + (self.keep_best and measured)

    def problems(self) -> list[Problem]:
        at_least_one = {"every_steps": self.every_steps, "keep": self.keep}
        return [
            Problem(f"checkpoint.{key}", value, "must be at least 1", "raise it")
            for key, value in at_least_one.items()
            if value < 1
        ]
