"""The report's section on training: curves and figures from metrics.jsonl."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from launch.charts import Curve, curve_chart, smoothing_width
from launch.report_stages import StageFacts
from pacos import metrics
from pacos.files import read_jsonl


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with what stands above and below it."""

    title: str
    unit: str
    chart: Markup


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


def read_training(stage: StageFacts) -> Training | None:
    """Read the steps of a training run; None if none is recorded."""
    records = [record for record in read_jsonl(stage.run.metrics) if metrics.LOSS in record]
    if not records:
        return None
    restarts = [life.first_step for life in stage.lives[1:] if life.first_step is not None]
    losses = [record[metrics.LOSS] for record in records]
    return Training(
        steps=records[-1][metrics.STEP],
        epochs=records[-1][metrics.EPOCH],
        rows=_total(records, metrics.ROWS),
        tokens=_total(records, metrics.TOKENS),
        supervised_tokens=_total(records, metrics.SUPERVISED_TOKENS),
        step_seconds=sum(record[metrics.STEP_SECONDS] for record in records),
        tokens_per_second=statistics.median(
            record[metrics.TOKENS_PER_SECOND] for record in records
        ),
        first_loss=losses[0],
        last_loss=losses[-1],
        figures=_figures(records, restarts),
        averaged=smoothing_width(len(records)),
        restarts=restarts,
    )


def _total(records: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(record[name] for record in records)


def _figures(records: Sequence[Mapping[str, Any]], restarts: Sequence[int]) -> list[Figure]:
    steps = [record[metrics.STEP] for record in records]

    def figure(
        title: str, unit: str, metric: str, number: Callable[[float], str], **options: bool
    ) -> Figure:
        values = [record[metric] for record in records]
        curve = Curve(title, steps, values, number, **options)
        return Figure(title, unit, curve_chart(curve, restarts))

    return [
        figure("Loss", "nats per supervised token", metrics.LOSS, _short, from_zero=False),
        figure("Learning rate", "", metrics.LEARNING_RATE, _exponent, smooth=False),
        figure("Gradient norm", "before clipping", metrics.GRAD_NORM, _short),
        figure("Throughput", "tokens per second, all ranks", metrics.TOKENS_PER_SECOND, _thousands),
    ]


def _short(value: float) -> str:
    return f"{value:.3g}"


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _exponent(value: float) -> str:
    """2e-05 as 2e-5: no padding in the exponent."""
    if value == 0:
        return "0"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"
