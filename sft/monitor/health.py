"""The health of a run, step by step: loss spikes with their rows, stragglers, NaN."""

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
"""Steps that define what is usual."""
LEAST_HISTORY = 20
"""Steps before anything can be unusual: a median deviation over fewer is too noisy."""
LEAST_SIGMA = {metrics.LOSS: 0.02, metrics.GRAD_NORM: 0.1}
"""Floor of the standard deviation of a logarithm, so that a curve without noise has no spikes: at
`spike_sigmas` = 6 a loss must stand out by 13 %, a gradient norm by 80 %."""
PROBES = 5
"""Probes of a rank whose median counts: anything can slow down a single one."""


class SpikeDetector:
    """Detects values that stand out from those before, robustly and on a logarithmic scale.

    Median and median absolute deviation do not move with the spikes themselves, and a new level
    counts as usual after half a window. The factor 1.4826 turns the deviation into a standard
    deviation for normal noise (Rousseeuw and Croux, 1993).
    """

    def __init__(self, sigmas: float, least_sigma: float) -> None:
        self._sigmas = sigmas
        self._least_sigma = least_sigma
        self._logs: deque[float] = deque(maxlen=WINDOW)

    def look(self, value: float) -> float | None:
        """Take the next value; return the usual value if this one is a spike, else None."""
        if not (math.isfinite(value) and value > 0):
            return None
        level, usual = math.log(value), None
        if len(self._logs) >= LEAST_HISTORY:
            median = statistics.median(self._logs)
            deviation = statistics.median(abs(past - median) for past in self._logs)
            sigma = max(1.4826 * deviation, self._least_sigma)
            # Only upwards: a loss that falls fast is no fault.
            if level - median > self._sigmas * sigma:
                usual = math.exp(median)
        self._logs.append(level)
        return usual


class StragglerWatch:
    """Finds the rank that repeatedly takes longer than the others for the same products."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._probes: deque[Sequence[float]] = deque(maxlen=PROBES)
        self._named: int | None = None

    def look(self, seconds: Sequence[float]) -> int | None:
        """Take the time of each rank; return a straggler if it has not just been named."""
        self._probes.append(seconds)
        if len(seconds) < 2 or len(self._probes) < PROBES:
            return None
        usual = [statistics.median(times) for times in zip(*self._probes, strict=True)]
        slowest = max(range(len(usual)), key=usual.__getitem__)
        others = statistics.median(usual[:slowest] + usual[slowest + 1 :])
        straggler = slowest if usual[slowest] >= self._ratio * others else None
        is_new = straggler != self._named
        self._named = straggler
        return straggler if is_new else None


class Health:
    """Watches the steps on rank 0 and writes health.jsonl, one line per finding."""

    def __init__(
        self,
        config: HealthConfig,
        file: Path,
        place: Callable[[int], str],
        supervised: Callable[[int], int],
        hosts: Sequence[str],
    ) -> None:
        """Watch one life of a run.

        Args:
            config: the limits of what is usual.
            file: the run's health.jsonl.
            place: returns the file and line of a row.
            supervised: returns the supervised tokens of a row.
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
        """Take what earlier lives recorded, so that the first steps have a history."""
        for record in history:
            for name, detector in self._detectors.items():
                if name in record:
                    detector.look(record[name])

    def look(self, record: StepRecord) -> None:
        """Report what is unusual in a step."""
        number = record.step.number
        if not record.is_finite:
            effect = "the weights are not either" if record.updated else "no weight was changed"
            log.warning(
                f"step {number}: loss or gradient is not finite, {effect}; see {self._file}"
            )
            values = {name: _finite(value) for name, value in record.watched.items()}
            self._write(number, "not finite", **values, passes=self._passes(record))
        for name, value in record.watched.items():
            usual = self._detectors[name].look(value)
            if usual is not None:
                log.warning(
                    f"step {number}: {name} is {value:.4g}, usually {usual:.4g}; "
                    f"the rows of the step are in {self._file}"
                )
                passes = self._passes(record)
                self._write(number, "spike", metric=name, value=value, usual=usual, passes=passes)
        self._look_at_ranks(record)

    def _look_at_ranks(self, record: StepRecord) -> None:
        seconds = [rank.probe_seconds for rank in record.ranks]
        if not all(seconds):  # a step without a probe
            return
        straggler = self._stragglers.look(seconds)
        if straggler is None:
            return
        ratio = seconds[straggler] / statistics.median(seconds)
        log.warning(
            f"step {record.step.number}: rank {straggler} on {self._hosts[straggler]} took "
            f"{ratio:.2f} times as long as the median rank for the same products, and all ranks "
            "wait for it; check its clocks, its temperature and other processes"
        )
        self._write(
            record.step.number,
            "straggler",
            rank=straggler,
            host=self._hosts[straggler],
            probe_seconds=seconds,
        )

    def _passes(self, record: StepRecord) -> list[dict[str, Any]]:
        """Return the passes of a step with their rows: not finite first, then by falling loss."""
        passes = [
            (nll / tokens, rank, rows)
            for rank, rows, nll in record.passes()
            if (tokens := sum(self._supervised(row) for row in rows))
        ]
        passes.sort(key=lambda each: -each[0] if math.isfinite(each[0]) else -math.inf)
        return [
            {"rank": rank, "loss": _finite(loss), "rows": [self._place(row) for row in rows]}
            for loss, rank, rows in passes
        ]

    def _write(self, step: int, event: str, **facts: Any) -> None:
        append_jsonl(self._file, [{metrics.STEP: step, "event": event, **facts}])


def _finite(value: float) -> float | None:
    """Return the value, or None if JSON has no number for it."""
    return value if math.isfinite(value) else None


class Patience:
    """Ends a run that goes on without updates; every rank decides the same."""

    def __init__(self, config: HealthConfig, wait: Callable[[], None]) -> None:
        """Watch one life of a run.

        Args:
            config: how many steps in a row may pass without an update.
            wait: waits for every rank.
        """
        self._allowed = config.nonfinite_steps
        self._wait = wait
        self._in_a_row = 0

    def check(self, record: StepRecord) -> None:
        """Take the next step.

        Raises:
            UserError: too many steps in a row were not finite, or one has changed the weights.
        """
        if record.is_finite:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if record.updated or self._in_a_row > self._allowed:
            # Rank 0 must finish writing the rows first: the launcher ends it with the others.
            self._wait()
            values = ", ".join(f"{name} {value:g}" for name, value in record.watched.items())
            raise UserError(
                f"health.nonfinite_steps = {self._allowed}: {values} in step {record.step.number}; "
                "earlier checkpoints are complete. Check the rows listed in health.jsonl, lower "
                "optimizer.lr or lengthen schedule.warmup_ratio, or allow steps without an update "
                "with this key"
            )
