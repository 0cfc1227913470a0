"""The report's section on training: curves, hardware use, unusual steps, sampled answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.report.charts import Curve, Figure, curve_chart, smoothing_width
from launch.report.stages import StageFacts
from pacos.files import read_jsonl
from pacos.tracking import metrics

ROWS_SHOWN = 8
"""Rows shown for each unusual step; health.jsonl lists all of them."""


@dataclass(frozen=True, slots=True)
class HealthEvent:
    """An unusual step, from health.jsonl."""

    step: int
    kind: str
    details: str
    rows: list[str]
    """Locations of the step's first rows, starting with the pass of the highest loss."""
    more_rows: int
    """Number of further rows that are not shown."""


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """The model's answer to a held-out row after some step."""

    step: int
    text: str
    stopped: bool
    """True if the model ended it with a stop token; False if it was cut off."""


@dataclass(frozen=True, slots=True)
class HeldoutRow:
    """A held-out row, and the model's answers to it."""

    location: str
    prompt: str
    reference: str
    answers: list[SampledAnswer]
    """The first and the last."""


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """A summary of a training run's steps."""

    steps: int
    epochs: float
    rows: int
    tokens: int
    supervised_tokens: int
    step_seconds: float
    """Total time inside steps, without start-up, checkpoints and export."""
    tokens_per_second: float
    first_loss: float
    last_loss: float
    figures: list[Figure]
    smoothing: int
    """Window of the curves' running mean, in steps; 1 if none is drawn."""
    restarts: list[int]
    """First steps of later lives."""
    validation: list[float]
    """First, lowest and last loss of the held-out rows; empty without held-out rows."""
    hardware: dict[str, str]
    """Hardware use by label, the median over steps unless the label says otherwise."""
    heldout_rows: list[HeldoutRow]
    events: list[HealthEvent]


def read_training(stage: StageFacts) -> TrainingSection | None:
    """Read the records of a training run; return None if it has made no step yet."""
    records = list(read_jsonl(stage.run.metrics))
    # The measurement before the first step has a line of its own, without a training loss.
    steps = [record for record in records if metrics.LOSS in record]
    if not steps:
        return None
    restarts = [life.first_step for life in stage.lives[1:] if life.first_step is not None]
    validation = _values(records, metrics.VALIDATION_LOSS)
    return TrainingSection(
        steps=steps[-1][metrics.STEP],
        epochs=steps[-1][metrics.EPOCH],
        rows=sum(_values(steps, metrics.ROWS)),
        tokens=sum(_values(steps, metrics.TOKENS)),
        supervised_tokens=sum(_values(steps, metrics.SUPERVISED_TOKENS)),
        step_seconds=sum(_values(steps, metrics.STEP_SECONDS)),
        # The median: a life's first steps compile kernels and fill caches, and would drag the mean.
        tokens_per_second=statistics.median(_values(steps, metrics.TOKENS_PER_SECOND)),
        first_loss=steps[0][metrics.LOSS],
        last_loss=steps[-1][metrics.LOSS],
        figures=_figures(records, restarts),
        smoothing=smoothing_width(len(steps)),
        restarts=restarts,
        validation=[validation[0], min(validation), validation[-1]] if validation else [],
        hardware=dict(_hardware(steps)),
        heldout_rows=_heldout_rows(list(read_jsonl(stage.run.samples))),
        events=[_event(line) for line in read_jsonl(stage.run.health)],
    )


def _values(records: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [record[name] for record in records if name in record]


def _hardware(steps: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for label, metric, pattern in (
        ("model FLOPs utilisation", metrics.MFU, "{:.1%}"),
        ("supervised tokens per second", metrics.SUPERVISED_TOKENS_PER_SECOND, "{:,.0f}"),
        ("TFLOP/s per rank", metrics.TFLOPS, "{:,.3g}"),
        ("share of a step spent waiting for data", metrics.DATA_WAIT, "{:.2%}"),
    ):
        if values := _values(steps, metric):
            yield label, pattern.format(statistics.median(values))
    if peaks := _values(steps, metrics.PEAK_MEMORY):
        yield "peak memory of a rank, over all steps", f"{max(peaks):,.1f} GiB"
    # The metric already covers the life so far, so its last value counts.
    if shares := _values(steps, metrics.GOODPUT):
        yield "share of the last life's time spent in steps", f"{shares[-1]:.0%}"


def _heldout_rows(lines: Sequence[Mapping[str, Any]]) -> list[HeldoutRow]:
    by_row: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        by_row.setdefault(line["row"], []).append(line)
    return [
        HeldoutRow(
            location=location,
            prompt=samples[0]["prompt"],
            reference=samples[0]["reference"],
            answers=[
                SampledAnswer(line[metrics.STEP], line["answer"], line["stopped"])
                for line in ([samples[0], samples[-1]] if len(samples) > 1 else samples)
            ],
        )
        for location, samples in by_row.items()
    ]


def _event(line: Mapping[str, Any]) -> HealthEvent:
    rows = [row for item in line.get("passes", []) for row in item["rows"]]
    if line["event"] == "spike":
        details = f"{line['metric']} {line['value']:.4g}, usually {line['usual']:.4g}"
    elif line["event"] == "straggler":
        details = f"rank {line['rank']} on {line['host']} computes slower than the others"
    else:
        watched = [name for name in (metrics.LOSS, metrics.GRAD_NORM) if name in line]
        details = ", ".join(f"{name} {_format_value(line[name])}" for name in watched)
    shown = rows[:ROWS_SHOWN]
    return HealthEvent(line[metrics.STEP], line["event"], details, shown, len(rows) - len(shown))


def _format_value(value: float | None) -> str:
    # JSON has no NaN, so health.jsonl writes null.
    return "not finite" if value is None else f"{value:.4g}"


def _figures(records: Sequence[Mapping[str, Any]], restarts: Sequence[int]) -> list[Figure]:
    """Draw a curve for each metric that was recorded."""

    def figure(
        name: str,
        note: str,
        metric: str,
        *,
        from_zero: bool = True,
        smooth: bool = True,
        format_value: Callable[[float], str] | None = None,
    ) -> list[Figure]:
        measured = [record for record in records if metric in record]
        if not measured:
            return []
        curve = Curve(
            name,
            steps=_values(measured, metrics.STEP),
            values=_values(measured, metric),
            format_value=format_value,
            from_zero=from_zero,
            smooth=smooth,
        )
        return [Figure(name, note, curve_chart(curve, restarts))]

    return [
        *figure("Loss", "nats per supervised token", metrics.LOSS, from_zero=False),
        *figure(
            "Validation loss",
            "over held-out rows",
            metrics.VALIDATION_LOSS,
            from_zero=False,
            smooth=False,
        ),
        *figure("Learning rate", "", metrics.LEARNING_RATE, smooth=False, format_value=_exponent),
        *figure("Gradient norm", "before clipping", metrics.GRAD_NORM),
        *figure(
            "Throughput", "tokens per second", metrics.TOKENS_PER_SECOND, format_value=_thousands
        ),
        *figure("Utilisation", "of the GPU's peak FLOP/s", metrics.MFU, format_value=_percent),
    ]


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _exponent(value: float) -> str:
    """Format a small number without padding in its exponent: 2e-5, not 2e-05."""
    if value == 0:
        return "0"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"
