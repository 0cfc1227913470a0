"""Config of the health checks during training."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class HealthConfig:
    """The limits beyond which a step is reported in health.jsonl, or ends the run."""

    spike_sigmas: float = 6.0
    """Standard deviations above the median of the last 50 steps (in logarithms, estimated as 1.4826
    times the median deviation) from which a loss or gradient norm counts as a spike and its rows
    are listed. A lower value reports more."""
    straggler_ratio: float = 1.25
    """Ratio to the other ranks' time for the same matrix products from which a rank is reported as
    a straggler. A lower value reports more."""
    nonfinite_steps: int = 0
    """Consecutive steps that may be skipped because their loss or gradient is not finite. One more
    ends the run, and its last checkpoint stays as it was."""

    hang_seconds: float = 600.0
    """Seconds without progress, and at least three times the longest pause so far, after which a
    rank ends the job; every rank's stack is written to stacks/. Raise it if one pass takes
    minutes."""
    fruitless_lives: int = 3
    """Consecutive lives that may end without a newer checkpoint. The next one refuses to start, so
    that a scheduler does not restart a broken run forever. Changing any setting starts the count
    anew."""

    def problems(self) -> list[Problem]:
        problems = []
        if self.hang_seconds <= 0:
            key, value = "health.hang_seconds", self.hang_seconds
            problems.append(Problem(key, value, "must be above 0", "raise it; 600 suits most runs"))
        if self.fruitless_lives < 1:
            key, value = "health.fruitless_lives", self.fruitless_lives
            problems.append(Problem(key, value, "must be at least 1", "raise it"))
        if self.spike_sigmas <= 0:
            key, value = "health.spike_sigmas", self.spike_sigmas
            problems.append(Problem(key, value, "must be above 0", "raise it; 6 suits most runs"))
        if self.straggler_ratio <= 1:
            key, value = "health.straggler_ratio", self.straggler_ratio
            problems.append(Problem(key, value, "must be above 1", "raise it"))
        if self.nonfinite_steps < 0:
            key, value = "health.nonfinite_steps", self.nonfinite_steps
            remedy = "use 0 to end the run at the first"
            problems.append(Problem(key, value, "must not be below 0", remedy))
        return problems
