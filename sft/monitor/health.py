"""What is wrong with a run, step by step: spikes with their rows, stragglers, NaN."""

from __future__ import annotations

import logging
import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pacos.errors import UserError
from pacos.files import append_jsonl
from pacos.tracking import metrics
from sft.configs.health import HealthConfig
from sft.steps.record import StepRecord

log = logging.getLogger(__name__)

WINDOW = 50
"""Steps that say what is usual."""
LEAST_HISTORY = 20
"""Steps before anything is called unusual: the median deviation of fewer says little."""
LEAST_SIGMA = {metrics.LOSS: 0.02, metrics.GRAD_NORM: 0.1}
"""Floor of the standard deviation of a logarithm, so that a curve without noise has no spikes: a
loss must stand out by 13 %, a gradient norm by 80 % (at `spike_sigmas` = 6)."""
PROBES = 5
"""Probes of a rank whose median counts: one alone is slowed by anything."""


class SpikeDetector:
    """Tells values that stand out from those before: robust, and on the logarithm's scale.

    Median and median absolute deviation (Rousseeuw and Croux, 1993: 1.4826 makes it a standard
    deviation under a normal law) do not move for the spikes themselves; a new level is usual after
    half a window.
    """

    def __init__(self, sigmas: float, least_sigma: float) -> None:
        self._sigmas = sigmas
        self._least_sigma = least_sigma
        self._seen: deque[float] = deque(maxlen=WINDOW)

    def look(self, value: float) -> float | None:
        """Take the next value; returns the usual one if this one is a spike."""
        if not (math.isfinite(value) and value > 0):
            return None
        level, usual = math.log(value), None
        if len(self._seen) >= LEAST_HISTORY:
            median = statistics.median(self._seen)
            deviation = statistics.median(abs(seen - median) for seen in self._seen)
            sigma = max(1.4826 * deviation, self._least_sigma)
            if level - median > self._sigmas * sigma:
                usual = math.exp(median)
        self._seen.append(level)
        return usual


class StragglerWatch:
    """Finds the rank that needs longer than the others for the same products, again and again."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._probes: deque[Sequence[float]] = deque(maxlen=PROBES)
        self._named: int | None = None

    def look(self, seconds: Sequence[float]) -> int | None:
        """Take the time of each rank; returns a straggler that was not named before."""
        self._probes.append(seconds)
        if len(seconds) < 2 or len(self._probes) < PROBES:
            return None
        usual = [statistics.median(times) for times in zip(*self._probes, strict=True)]
        slowest = max(range(len(usual)), key=usual.__getitem__)
        others = statistics.median(usual[:slowest] + usual[slowest + 1 :])
        found = slowest if usual[slowest] >= self._ratio * others else None
        new = found if found != self._named else None
        self._named = found
        return new


class Health:
    """Watches the steps on rank 0 and writes health.jsonl, one line for each thing found."""

    def __init__(
        self,
        config: HealthConfig,
        file: Path,
        place: Callable[[int], str],
        supervised: Callable[[int], int],
        hosts: Sequence[str],
    ) -> None:
        """Watch a life of a run.

        Args:
            config: what is unusual.
            file: health.jsonl of the run.
            place: where a person finds a row.
            supervised: tokens of each row that carry loss.
            hosts: name of each rank's machine.
        """
        self._file = file
        self._place = place
        self._supervised = supervised
        self._hosts = hosts
        self._detectors = {
            name: SpikeDetector(config.spike_sigmas, sigma) for name, sigma in LEAST_SIGMA.items()
        }
        self._stragglers = StragglerWatch(config.straggler_ratio)

    def recall(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Take what the lives before recorded, so that the first steps have something behind."""
        for record in history:
            for name, detector in self._detectors.items():
                if name in record:
                    detector.look(record[name])

    def look(self, record: StepRecord) -> None:
        """Report what is unusual in a step."""
        number = record.step.number
        if not record.is_finite:
            done = "without an update" if not record.updated else "and the weights with it"
            log.warning(f"step {number}: loss or gradient is not finite, {done}; see {self._file}")
            found = {name: _finite(value) for name, value in record.watched.items()}
            self._write(number, "not finite", **found, passes=self._passes(record))
        for name, value in record.watched.items():
            usual = self._detectors[name].look(value)
            if usual is not None:
                said = f"{name} {value:.4g} where {usual:.4g} is usual"
                log.warning(f"step {number}: {said}; its rows are in {self._file}")
                passes = self._passes(record)
                self._write(number, "spike", metric=name, value=value, usual=usual, passes=passes)
        self._look_at_ranks(record)

    def _look_at_ranks(self, record: StepRecord) -> None:
        seconds = [rank.probe_seconds for rank in record.ranks]
        if not all(seconds):
            return
        slow = self._stragglers.look(seconds)
        if slow is None:
            return
        times = sorted(seconds)
        usual = statistics.median(times)
        log.warning(
            f"step {record.step.number}: rank {slow} on {self._hosts[slow]} took "
            f"{seconds[slow] / usual:.2f} times as long as the ranks usually do for the same "
            "products, and all wait for it; look at its clocks, heat and other processes"
        )
        self._write(
            record.step.number,
            "straggler",
            rank=slow,
            host=self._hosts[slow],
            probe_seconds=seconds,
        )

    def _passes(self, record: StepRecord) -> list[dict[str, Any]]:
        """The rows of the step, pass by pass, the highest loss first, what is not finite ahead."""
        found = [
            (nll / tokens, rank, rows)
            for rank, rows, nll in record.passes()
            if (tokens := sum(self._supervised(row) for row in rows))
        ]
        found.sort(key=lambda one: -one[0] if math.isfinite(one[0]) else -math.inf)
        return [
            {"rank": rank, "loss": _finite(loss), "rows": [self._place(row) for row in rows]}
            for loss, rank, rows in found
        ]

    def _write(self, step: int, event: str, **facts: Any) -> None:
        append_jsonl(self._file, [{metrics.STEP: step, "event": event, **facts}])


def _finite(value: float) -> float | None:
    """The value as JSON can hold it."""
    return value if math.isfinite(value) else None


class Patience:
    """How long a run goes on without updates; the same on every rank."""

    def __init__(self, config: HealthConfig, wait: Callable[[], None]) -> None:
        """Watch a life of a run.

        Args:
            config: how many steps may pass.
            wait: waits for every rank.
        """
        self._allowed = config.nonfinite_steps
        self._wait = wait
        self._passed = 0

    def check(self, record: StepRecord) -> None:
        """Take the next step.

        Raises:
            UserError: too many in a row were not finite, or one went into the weights.
        """
        if record.is_finite:
            self._passed = 0
            return
        self._passed += 1
        if record.updated or self._passed > self._allowed:
            # Rank 0 has to write which rows they were before the launcher ends it with the others.
            self._wait()
            found = ", ".join(f"{name} {value:g}" for name, value in record.watched.items())
            raise UserError(
                f"health.nonfinite_steps = {self._allowed}: {found} in step {record.step.number}; "
                "the checkpoints before are whole. Look at the rows that health.jsonl lists, lower "
                "optimizer.lr or lengthen schedule.warmup_ratio, or allow steps without an update "
                "with this key"
            )
