"""Config of the learning-rate schedule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pacos.errors import Problem


class Decay(Enum):
    """The shape of the learning rate after warm-up."""

    cosine = "cosine"
    linear = "linear"
    wsd = "wsd"
    constant = "constant"


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """The learning rate over the steps of a run; no step has rate 0."""

    decay: Decay = Decay.cosine
    """Shape after warm-up: `cosine` and `linear` fall from the peak so that the step after the last
    would have rate 0; `wsd` (warm-up, stable, decay) stays at the peak and falls linearly in the
    same way over the last `decay_ratio` of the steps; `constant` stays at the peak. The rates are
    those of transformers' schedulers."""
    warmup_ratio: float = 0.03
    """Share of all steps over which the rate rises linearly to the peak, rounded up to whole steps;
    of N such steps the first has 1/N of the peak (Alpaca: 0.03)."""
    decay_ratio: float = 0.1
    """Share of all steps over which `wsd` falls; the other shapes ignore it. A tenth is enough
    (MiniCPM, arXiv 2404.06395, section 4)."""

    def problems(self) -> list[Problem]:
        problems = []
        for key in ("warmup_ratio", "decay_ratio"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                fault = "must be a share of all steps"
                problems.append(Problem(f"schedule.{key}", value, fault, "choose one in [0, 1)"))
        if self.decay is Decay.wsd and self.warmup_ratio + self.decay_ratio > 1:
            shares = f"{self.warmup_ratio}, {self.decay_ratio}"
            fault = "warm-up and decay together are longer than the run"
            keys = "schedule.warmup_ratio, schedule.decay_ratio"
            problems.append(Problem(keys, shares, fault, "lower one of them"))
        return problems
