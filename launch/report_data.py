"""The report's section on data: what was generated, what was rejected and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from launch.charts import length_chart
from launch.report_stages import StageFacts
from pacos import metrics
from pacos.files import read_jsonl
from pacos.history import last_record
from pacos.schemas import Row

SEED_SAMPLES, GENERATED_SAMPLES, REJECTED_SAMPLES = 3, 9, 8


@dataclass(frozen=True, slots=True)
class Reason:
    """Why candidates were rejected, and how many."""

    name: str
    count: int
    width: float
    """Percent of the longest bar."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that did not become a row."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """A data set and how it came to be."""

    seeds: int
    generated: int
    heldout: int
    rejected: int
    requests: int | None
    """Completions asked for; None if the run did not record it."""
    reasons: list[Reason]
    length_figures: list[tuple[str, Markup]]
    samples: list[Row]
    rejected_samples: list[Rejected]

    @property
    def acceptance(self) -> float | None:
        """Share of the candidates that became rows."""
        candidates = self.generated + self.rejected
        return self.generated / candidates if candidates else None


def read_data(stage: StageFacts) -> Data | None:
    """Read a data set with its rejected candidates; None if nothing was made yet."""
    folder = stage.run.data
    rows = _read_rows(folder / "data.jsonl")
    rejected = list(read_jsonl(folder / "rejected.jsonl"))
    last = last_record(stage.run.metrics) or {}
    if not rows and not rejected and not last:
        return None
    seeds = [row for row in rows if row.source == "seed"]
    generated = [row for row in rows if row.source != "seed"]
    return Data(
        seeds=len(seeds),
        generated=len(generated) or last.get(metrics.ACCEPTED, 0),
        heldout=len(_read_rows(folder / "heldout.jsonl")),
        rejected=len(rejected) or last.get(metrics.REJECTED, 0),
        requests=last.get(metrics.REQUESTS),
        reasons=_reasons(rejected),
        length_figures=_length_figures(rows),
        samples=[
            *_drawn(generated, GENERATED_SAMPLES, key=lambda row: row.id),
        ],
        rejected_samples=[],
    )
