"""The report's section on training: curves and figures from metrics.jsonl."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.charts import Curve, Figure, curve_chart, smoothing_width
from launch.report_stages import StageFacts
from pacos import metrics
from pacos.files import read_jsonl


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

    def figure(name: str, unit: str, metric: str, **options: Any) -> Figure:
        curve = Curve(name, steps, [record[metric] for record in records], **options)
        return Figure(name, unit, curve_chart(curve, restarts))

    rate = {"number": _exponent, "smooth": False}
    return [
        figure("Loss", "nats per supervised token", metrics.LOSS, from_zero=False),
        figure("Learning rate", "", metrics.LEARNING_RATE, **rate),
        figure("Gradient norm", "before clipping", metrics.GRAD_NORM),
        figure("Throughput", "tokens per second", metrics.TOKENS_PER_SECOND, number=_thousands),
    ]


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _exponent(value: float) -> str:
    """2e-05 as 2e-5: no padding in the exponent."""
    if value == 0:
        return "0"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"
