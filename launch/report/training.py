"""The report's section on training: curves, answers to held-out rows, what health.jsonl lists."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.report.charts import Curve, Figure, curve_chart, smoothing_width
from launch.report.stages import StageFacts
from pacos.files import read_jsonl
from pacos.tracking import metrics

ROWS_SHOWN = 8
"""Of a step that health.jsonl lists; all of them are there."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something unusual in a step."""

    step: int
    kind: str
    what: str
    rows: list[str]
    """Where the first rows of the step lie, the pass with the highest loss first."""
    more_rows: int
    """Rows of the step that are not shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote at one time."""

    step: int
    text: str
    stopped: bool
    """Whether it ended by itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A held-out row, and the model's answers to it."""

    place: str
    prompt: str
    reference: str
    answers: list[Answer]
    """The first and the last."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the steps of a run amount to."""

    steps: int
    epochs: float
    rows: int
    tokens: int
    supervised_tokens: int
    step_seconds: float
    """Time inside steps, without start, checkpoints and export."""
    tokens_per_second: float
    first_loss: float
    last_loss: float
    figures: list[Figure]
    averaged: int
    """Steps that the running mean of the curves takes together; 1: no mean is drawn."""
    restarts: list[int]
    """First steps of later lives."""
    validation: list[float]
    """The first, the lowest and the last loss of the held-out rows; none: there are no such."""
    machine: dict[str, str]
    """How well the machine was used: what, and how much at the median step."""
    asked: list[Asked]
    events: list[Event]


def read_training(stage: StageFacts) -> Training | None:
    """Read the steps of a training run; None if none is recorded."""
    records = list(read_jsonl(stage.run.metrics))
    steps = [record for record in records if metrics.LOSS in record]
    if not steps:
        return None
    restarts = [life.first_step for life in stage.lives[1:] if life.first_step is not None]
    validation = _values(records, metrics.VALIDATION_LOSS)
    return Training(
        steps=steps[-1][metrics.STEP],
        epochs=steps[-1][metrics.EPOCH],
        rows=sum(_values(steps, metrics.ROWS)),
        tokens=sum(_values(steps, metrics.TOKENS)),
        supervised_tokens=sum(_values(steps, metrics.SUPERVISED_TOKENS)),
        step_seconds=sum(_values(steps, metrics.STEP_SECONDS)),
        tokens_per_second=statistics.median(_values(steps, metrics.TOKENS_PER_SECOND)),
        first_loss=steps[0][metrics.LOSS],
        last_loss=steps[-1][metrics.LOSS],
        figures=_figures(records, restarts),
        averaged=smoothing_width(len(steps)),
        restarts=restarts,
        validation=[validation[0], min(validation), validation[-1]] if validation else [],
        machine=dict(_machine(steps)),
        asked=_asked(list(read_jsonl(stage.run.samples))),
        events=[_event(line) for line in read_jsonl(stage.run.health)],
    )


def _values(records: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [record[name] for record in records if name in record]


def _machine(steps: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for what, name, written in (
        ("model FLOPs utilisation", metrics.MFU, "{:.1%}"),
        ("tokens that carry loss, a second", metrics.SUPERVISED_TOKENS_PER_SECOND, "{:,.0f}"),
        ("TFLOP/s a rank", metrics.TFLOPS, "{:,.3g}"),
        ("share of a step spent waiting for data", metrics.DATA_WAIT, "{:.2%}"),
    ):
        if values := _values(steps, name):
            yield what, written.format(statistics.median(values))
    if peaks := _values(steps, metrics.PEAK_MEMORY):
        yield "most memory of a rank", f"{max(peaks):,.1f} GiB"
    if shares := _values(steps, metrics.GOODPUT):
        yield "share of the last life's time spent in steps", f"{shares[-1]:.0%}"


def _asked(lines: Sequence[Mapping[str, Any]]) -> list[Asked]:
    by_row: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        by_row.setdefault(line["row"], []).append(line)
    return [
        Asked(
            place=place,
            prompt=given[0]["prompt"],
            reference=given[0]["reference"],
            answers=[
                Answer(line[metrics.STEP], line["answer"], line["stopped"])
                for line in ([given[0], given[-1]] if len(given) > 1 else given)
            ],
        )
        for place, given in by_row.items()
    ]


def _event(line: Mapping[str, Any]) -> Event:
    rows = [row for one in line.get("passes", []) for row in one["rows"]]
    if line["event"] == "spike":
        what = f"{line['metric']} {line['value']:.4g}, {line['usual']:.4g} is usual"
    elif line["event"] == "straggler":
        what = f"rank {line['rank']} on {line['host']} computes slower than the others"
    else:
        watched = [name for name in (metrics.LOSS, metrics.GRAD_NORM) if name in line]
        what = ", ".join(f"{name} {_known(line[name])}" for name in watched)
    shown = rows[:ROWS_SHOWN]
    return Event(line[metrics.STEP], line["event"], what, shown, len(rows) - len(shown))


def _known(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _figures(records: Sequence[Mapping[str, Any]], restarts: Sequence[int]) -> list[Figure]:
    """A curve for each quantity that was recorded."""

    def figure(name: str, note: str, metric: str, **options: Any) -> list[Figure]:
        found = [record for record in records if metric in record]
        if not found:
            return []
        curve = Curve(name, _values(found, metrics.STEP), _values(found, metric), **options)
        return [Figure(name, note, curve_chart(curve, restarts))]

    rate = {"number": _exponent, "smooth": False}
    measured = {"from_zero": False, "smooth": False}
    speed = {"number": _thousands}
    return [
        *figure("Loss", "nats per supervised token", metrics.LOSS, from_zero=False),
        *figure("Validation loss", "over held-out rows", metrics.VALIDATION_LOSS, **measured),
        *figure("Learning rate", "", metrics.LEARNING_RATE, **rate),
        *figure("Gradient norm", "before clipping", metrics.GRAD_NORM),
        *figure("Throughput", "tokens per second", metrics.TOKENS_PER_SECOND, **speed),
        *figure("Utilisation", "of the GPU's peak FLOP/s", metrics.MFU, number=_percent),
    ]


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _exponent(value: float) -> str:
    """2e-05 as 2e-5: no padding in the exponent."""
    if value == 0:
        return "0"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"
