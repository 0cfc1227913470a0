"""The report's section on data: what was generated, what was rejected, what the figures say."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.report.charts import Curve, Figure, curve_chart, length_chart, similarity_chart
from launch.report.stages import StageFacts, flat_texts
from pacos.files import read_json, read_jsonl
from pacos.llm.ledger import HEAD, Spent
from pacos.run_paths import DataPaths
from pacos.schemas import Row
from pacos.tracking import metrics
from pacos.tracking.history import last_record

SEED_SAMPLES, GENERATED_SAMPLES = 6, 54
REJECTED_SAMPLES = 5
"""Of each reason."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why candidates were rejected, and how many."""

    name: str
    count: int
    width: float
    """Percent of the longest bar."""
    is_detail: bool
    """Whether it is a part of the reason above it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that did not become a row."""

    text: str
    detail: str
    """The rest of the reason, and what the instruction was too close to, if that is why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A row to be looked at."""

    row: Row
    lineage: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the replies of one model took, those that came to nothing included."""

    who: str
    replies: int
    spent: Spent


@dataclass(frozen=True, slots=True)
class Data:
    """A data set and how it came to be."""

    generated: int
    rejected: int
    requests: int | None
    """For tasks; None if the run did not record it."""
    costs: list[Cost]
    """Of each model that was asked."""
    figures: list[Figure]
    measures: Mapping[str, Any] = field(default_factory=dict)
    """measures.json; empty until the data set is written. Then only the counts above are known."""
    requirements: Sequence[Mapping[str, Any]] = ()
    """requirements.json."""
    reasons: Sequence[Reason] = ()
    samples: Sequence[Sample] = ()
    rejected_samples: Mapping[str, Sequence[Rejected]] = field(default_factory=dict)
    """By reason."""

    @property
    def exported(self) -> bool:
        """Whether the data set is written."""
        return bool(self.measures)

    @property
    def seeds(self) -> int:
        """Rows that people wrote."""
        return int(self.measures.get("seeds", 0))

    @property
    def rows(self) -> int:
        """Rows that a model is trained on."""
        return self.seeds + self.generated

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """Rows of each kind; the kinds overlap."""
        named = {"yes": "classification", "no": "no classification", "unknown": "not asked if so"}
        kinds = self.measures["classification"]
        return [
            ("with an input", self.measures["with_input"]),
            *((named[kind], count) for kind, count in kinds.items()),
            *self.measures["languages"].items(),
        ]

    @property
    def acceptance(self) -> float | None:
        """Share of the candidates that became rows."""
        candidates = self.generated + self.rejected
        return self.generated / candidates if candidates else None


def read_data(stage: StageFacts) -> Data | None:
    """Read a data set with its rejected candidates; None if nothing was made yet."""
    files = DataPaths(stage.run.data)
    last = last_record(stage.run.metrics) or {}
    ledgers = {"teacher": files.ledger, "judge": files.judge_ledger}
    found = [_cost(who, path) for who, path in ledgers.items() if path.is_file()]
    costs = [cost for cost in found if cost.replies]
    if not all(path.is_file() for path in (files.rows, files.measures)):
        if not last:
            return None
        return Data(
            generated=last.get(metrics.ACCEPTED, 0),
            rejected=last.get(metrics.REJECTED, 0),
            requests=last.get(metrics.REQUESTS),
            costs=costs,
            figures=[*_growth(stage)],
        )
    measures = read_json(files.measures)
    rows, heldout = _read_rows(files.rows), _read_rows(files.heldout)
    texts = {row.id: row.instruction for row in [*rows, *heldout]}
    return Data(
        generated=measures["generated"],
        rejected=measures["candidates"] - measures["generated"],
        requests=measures["requests"],
        costs=costs,
        figures=[*_growth(stage), *_similarities(measures), *_lengths(rows)],
        measures=measures,
        requirements=read_json(files.requirements),
        reasons=[*_reasons(measures["rejected"])],
        samples=_samples(rows),
        rejected_samples=_rejected_samples(read_jsonl(files.rejected), texts),
    )


def _read_rows(path: Path) -> list[Row]:
    return [Row.from_json(record, f"{path}:{n}") for n, record in enumerate(read_jsonl(path), 1)]


def _cost(who: str, path: Path) -> Cost:
    """The sums of a ledger, which a run may be writing to."""
    replies, spent = 0, Spent()
    with path.open("rb") as file:
        for head in filter(None, map(HEAD.match, file)):
            _, prompt_tokens, completion_tokens, usd = head.groups()
            spent.add(
                int(prompt_tokens), int(completion_tokens), None if usd == b"null" else float(usd)
            )
            replies += 1
    return Cost(who, replies, spent)


def _reasons(rejected: Mapping[str, Mapping[str, int]]) -> Iterator[Reason]:
    most = max((sum(details.values()) for details in rejected.values()), default=0)
    for name, details in rejected.items():
        count = sum(details.values())
        yield Reason(name, count, 100 * count / most, is_detail=False)
        for detail, part in details.items():
            if detail:
                yield Reason(detail, part, 100 * part / most, is_detail=True)


def _growth(stage: StageFacts) -> Iterator[Figure]:
    """Rows over requests: the curve bends where the teacher runs out of new tasks."""
    records = list(read_jsonl(stage.run.metrics))
    if records:
        requests = [0, *(record[metrics.REQUESTS] for record in records)]
        accepted = [0, *(record[metrics.ACCEPTED] for record in records)]
        curve = Curve("Growth", requests, accepted, across="requests", smooth=False)
        yield Figure("Growth", "accepted rows over requests for tasks", curve_chart(curve))


def _similarities(measures: Mapping[str, Any]) -> Iterator[Figure]:
    for lang, found in measures["diversity"].items():
        if found["nearest"]:
            name = f"Similarity, {lang}"
            chart = similarity_chart(name, found["nearest"])
            note = f"of {len(found['nearest']):,} instructions to the closest earlier one"
            yield Figure(name, note, chart)


def _lengths(rows: Sequence[Row]) -> Iterator[Figure]:
    asked = [len(f"{row.instruction} {row.input}".split()) for row in rows]
    answered = [len(row.output.split()) for row in rows]
    for name, lengths in (("Instruction and input", asked), ("Output", answered)):
        yield Figure(name, "rows by words", length_chart(name, lengths))


def _samples(rows: Sequence[Row]) -> list[Sample]:
    """The same rows for the same data set, drawn without regard to what is in them."""
    drawn = sorted(rows, key=lambda row: _digest(row.id))
    seeds = [row for row in drawn if row.source == "seed"][:SEED_SAMPLES]
    generated = [row for row in drawn if row.source != "seed"][:GENERATED_SAMPLES]
    return [Sample(row, flat_texts(row.lineage)) for row in [*generated, *seeds]]


def _rejected_samples(
    rejected: Iterable[Mapping[str, Any]], instructions: Mapping[str, str]
) -> dict[str, list[Rejected]]:
    """A few of each reason, drawn without regard to what is in them."""
    groups: defaultdict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for record in rejected:
        digest = _digest(json.dumps(record, sort_keys=True))
        groups[record["reason"].partition(": ")[0]].append((digest, record))
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    return {
        name: [
            _rejected(record, instructions)
            for _, record in sorted(groups[name], key=lambda item: item[0])[:REJECTED_SAMPLES]
        ]
        for name in order
    }


def _rejected(record: Mapping[str, Any], instructions: Mapping[str, str]) -> Rejected:
    detail = record["reason"].partition(": ")[2]
    if (nearest := record["nearest"]) is not None:
        close = instructions.get(nearest["id"], nearest["id"])
        detail = f"{nearest['score']:.2f} with: {close}"
    elif (overlap := record["overlap"]) is not None:
        detail = f"{overlap['benchmark']} {overlap['item']}, {overlap['kind']}: {overlap['words']}"
    parts = (record["instruction"], record["input"], record["output"])
    return Rejected("\n\n".join(filter(None, parts)), detail)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
