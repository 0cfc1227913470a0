"""Config of health checks."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class HealthConfig:
    """When a step is reported in health.jsonl, and when it ends the run."""

    spike_sigmas: float = 6.0
    """Loss or gradient norm this far above the median of the last 50 steps, in their standard
    deviations (1.4826 times the median deviation, of logarithms), is a spike: the rows of the step
    are listed. Lower reports more."""
    straggler_ratio: float = 1.25
    """A rank that takes this many times as long for the same products as the others is reported."""
    nonfinite_steps: int = 0
    """Steps in a row that may pass without an update because loss or gradient is not finite. One
    more ends the run; its last checkpoint stays as it was."""

    hang_seconds: float = 600.0
    """A rank that shows no progress for so long, and for three times its longest pause so far, ends
    the job; what each rank was doing is written to stacks/. Raise it where one pass of the model
    takes minutes."""
    fruitless_lives: int = 3
    """Lives in a row that may end without a newer checkpoint; the next one refuses to start, so
    that no scheduler starts a run for ever that comes to nothing. Any changed setting counts as a
    new attempt."""

    def problems(self) -> list[Problem]:
        found = []
        if self.hang_seconds <= 0:
            key, value = "health.hang_seconds", self.hang_seconds
            found.append(Problem(key, value, "must be above 0", "raise it; 600 is rarely wrong"))
        if self.fruitless_lives < 1:
            key, value = "health.fruitless_lives", self.fruitless_lives
            found.append(Problem(key, value, "must be at least 1", "raise it"))
        if self.spike_sigmas <= 0:
            key, value = "health.spike_sigmas", self.spike_sigmas
            found.append(Problem(key, value, "must be above 0", "raise it; 6 is rarely wrong"))
        if self.straggler_ratio <= 1:
            key, value = "health.straggler_ratio", self.straggler_ratio
            found.append(Problem(key, value, "must be above 1", "raise it"))
        if self.nonfinite_steps < 0:
            key, value = "health.nonfinite_steps", self.nonfinite_steps
            found.append(Problem(key, value, "must not be below 0", "use 0 to end at the first"))
        return found
