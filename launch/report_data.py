"""The report's section on data: what was generated, what was rejected and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.charts import Curve, Figure, curve_chart, length_chart, similarity_chart
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
    detail: str
    """What the instruction was too close to, if that is why."""
    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """A data set and how it came to be."""

    exported: bool
    """Whether the data set is written; before, only counts are known."""
    seeds: int
    generated: int
    heldout: int
    rejected: int
    requests: int | None
    """Completions asked for; None if the run did not record it."""
    reasons: list[Reason]
    figures: list[Figure]
    samples: list[Row]
    rejected_samples: list[Rejected]

    @property
    def rows(self) -> int:
        """Rows that a model is trained on."""
        return self.seeds + self.generated

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
    heldout = _read_rows(folder / "heldout.jsonl")
    texts = {row.id: row.instruction for row in [*rows, *heldout]}
    return Data(
        exported=bool(rows),
        seeds=len(seeds),
        generated=len(generated) if rows else last.get(metrics.ACCEPTED, 0),
        heldout=len(heldout),
        rejected=len(rejected) or last.get(metrics.REJECTED, 0),
        requests=last.get(metrics.REQUESTS),
        reasons=_reasons(rejected),
        figures=[*_growth(stage), *_distributions(rows, generated)],
        samples=[*_drawn(seeds, SEED_SAMPLES), *_drawn(generated, GENERATED_SAMPLES)],
        rejected_samples=[_rejected(record, texts) for record in _drawn_rejected(rejected)],
    )


def _read_rows(path: Path) -> list[Row]:
    return [Row.from_json(record, f"{path}:{n}") for n, record in enumerate(read_jsonl(path), 1)]


def _reasons(rejected: Iterable[Mapping[str, Any]]) -> list[Reason]:
    counts = Counter(str(record["reason"]) for record in rejected).most_common()
    return [Reason(name, count, 100 * count / counts[0][1]) for name, count in counts]


def _growth(stage: StageFacts) -> Iterator[Figure]:
    """Rows over completions: the curve bends where the teacher runs out of new tasks."""
    records = list(read_jsonl(stage.run.metrics))
    if records:
        requests = [0, *(record[metrics.REQUESTS] for record in records)]
        accepted = [0, *(record[metrics.ACCEPTED] for record in records)]
        curve = Curve("Growth", requests, accepted, across="completions", smooth=False)
        yield Figure("Growth", "accepted rows over completions", curve_chart(curve))


def _distributions(rows: Sequence[Row], generated: Sequence[Row]) -> Iterator[Figure]:
    similarities = [
        # No neighbour at all: the instruction shares no word with any other.
        row.lineage["nearest"][1] if row.lineage["nearest"] else 0.0
        for row in generated
        if "nearest" in row.lineage
    ]
    if similarities:
        chart = similarity_chart("Similarity to the closest instruction", similarities)
        yield Figure("Similarity", "of a generated instruction to the closest one", chart)
    if rows:
        asked = [len(f"{row.instruction} {row.input}".split()) for row in rows]
        answered = [len(row.output.split()) for row in rows]
        chart = length_chart("Instruction and input", asked)
        yield Figure("Instruction and input", "rows by words", chart)
        yield Figure("Output", "rows by words", length_chart("Output", answered))


def _drawn(rows: Sequence[Row], count: int) -> list[Row]:
    """The same rows for the same data set, drawn without regard to what is in them."""
    return sorted(rows, key=lambda row: _digest(row.id))[:count]


def _drawn_rejected(rejected: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One of each reason as long as there are any, then a second one, and so on."""
    drawn = sorted(rejected, key=lambda record: _digest(json.dumps(record, sort_keys=True)))
    seen: Counter[str] = Counter()
    turns = []
    for record in drawn:
        turns.append(seen[record["reason"]])
        seen[record["reason"]] += 1
    order = sorted(range(len(drawn)), key=lambda index: turns[index])
    return [drawn[index] for index in order[:REJECTED_SAMPLES]]


def _rejected(record: Mapping[str, Any], instructions: Mapping[str, str]) -> Rejected:
    nearest = record["nearest"]
    if nearest is None:
        return Rejected(record["reason"], "", record["instruction"])
    close = instructions.get(nearest["id"], nearest["id"])
    return Rejected(
        record["reason"], f"{nearest['score']:.2f} with: {close}", record["instruction"]
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
