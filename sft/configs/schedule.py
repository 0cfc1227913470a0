"""Config of the learning-rate schedule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pacos.errors import Problem


class Decay(Enum):
    """How the learning rate falls after warm-up."""

    cosine = "cosine"
    linear = "linear"
    wsd = "wsd"
    constant = "constant"


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """Learning rate over the steps."""

    decay: Decay = Decay.cosine
    """Shape after warm-up: `cosine` and `linear` fall to 0 from there on; `wsd` stays at the peak
    and falls to 0 in a straight line over the last `decay_ratio` of the steps; `constant` stays."""
    warmup_ratio: float = 0.03
    """Share of all steps in which the rate rises linearly from 0 (Alpaca: 0.03)."""
    decay_ratio: float = 0.1
    """Share of all steps over which `wsd` falls; the others do not read it (MiniCPM, arXiv
    2404.06395, section 4: a tenth is enough)."""

    def problems(self) -> list[Problem]:
        found = []
        for key in ("warmup_ratio", "decay_ratio"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                found.append(
                    Problem(f"schedule.{key}", value, "is a share", "choose one in [0, 1)")
                )
        if self.decay is Decay.wsd and self.warmup_ratio + self.decay_ratio > 1:
            shares = f"{self.warmup_ratio}, {self.decay_ratio}"
            what = "warm-up and decay together are longer than the run"
            keys = "schedule.warmup_ratio, schedule.decay_ratio"
            found.append(Problem(keys, shares, what, "lower one of them"))
        return found
