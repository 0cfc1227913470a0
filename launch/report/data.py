"""The report's section on data: generated rows, rejected candidates, requirements and costs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.report.charts import Curve, Figure, curve_chart, length_chart, similarity_chart
from launch.report.stages import StageFacts, flat_texts, shuffling_key
from pacos.files import read_json, read_jsonl
from pacos.llm.ledger import HEAD, Spent
from pacos.run_paths import DataPaths
from pacos.schemas import Row
from pacos.tracking import metrics
from pacos.tracking.history import last_record

SEED_SAMPLES, GENERATED_SAMPLES = 6, 54
"""Rows shown in full."""
REJECTED_SAMPLES = 5
"""Rejected candidates shown for each reason."""


@dataclass(frozen=True, slots=True)
class RejectionReason:
    """A reason for rejections, with the number of candidates."""

    name: str
    count: int
    width: float
    """Length of its bar, in percent of the longest one."""
    is_detail: bool
    """True if it is a part of the reason above it."""


@dataclass(frozen=True, slots=True)
class RejectedCandidate:
    """A candidate that did not become a row."""

    text: str
    detail: str
    """The rest of the reason, or the text that the candidate was too close to."""


@dataclass(frozen=True, slots=True)
class RowSample:
    """A row to read, with its lineage."""

    row: Row
    lineage: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The cost of one model's replies, including those that led to no row."""

    role: str
    """`generator` or `judge`."""
    replies: int
    spent: Spent


@dataclass(frozen=True, slots=True)
class DataSection:
    """A data set and its making."""

    generated: int
    rejected: int
    requests: int | None
    """Requests for tasks; None if the run did not record them."""
    costs: list[ModelCost]
    """One for each model that has replied."""
    figures: list[Figure]
    measures: Mapping[str, Any] = field(default_factory=dict)
    """Content of measures.json. Empty until the data set is written; only the counts, costs and
    figures above are known then."""
    requirements: Sequence[Mapping[str, Any]] = ()
    """Content of requirements.json."""
    reasons: Sequence[RejectionReason] = ()
    samples: Sequence[RowSample] = ()
    rejected_samples: Mapping[str, Sequence[RejectedCandidate]] = field(default_factory=dict)
    """Rejected candidates by reason."""

    @property
    def exported(self) -> bool:
        """True if the data set is written."""
        return bool(self.measures)

    @property
    def seeds(self) -> int:
        """Number of rows that people wrote."""
        return int(self.measures.get("seeds", 0))

    @property
    def rows(self) -> int:
        """Number of rows that a model is trained on."""
        return self.seeds + self.generated

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """Number of rows of each kind. Kinds overlap."""
        labels = {
            "yes": "classification",
            "no": "not classification",
            "unknown": "classification unknown",
        }
        return [
            ("with an input", self.measures["with_input"]),
            *((labels[kind], count) for kind, count in self.measures["classification"].items()),
            *self.measures["languages"].items(),
        ]

    @property
    def acceptance(self) -> float | None:
        """Share of candidates that became rows."""
        candidates = self.generated + self.rejected
        return self.generated / candidates if candidates else None


def read_data(stage: StageFacts) -> DataSection | None:
    """Read a data set with its rejected candidates; return None if there is nothing yet."""
    files = DataPaths(stage.run.data)
    last = last_record(stage.run.metrics) or {}
    ledgers = {"generator": files.ledger, "judge": files.judge_ledger}
    existing = [_cost(role, path) for role, path in ledgers.items() if path.is_file()]
    costs = [cost for cost in existing if cost.replies]
    # The export writes data.jsonl last: measures without it belong to an export that was cut off.
    if not all(path.is_file() for path in (files.rows, files.measures)):
        if not last:
            return None
        return DataSection(
            generated=last.get(metrics.ACCEPTED, 0),
            rejected=last.get(metrics.REJECTED, 0),
            requests=last.get(metrics.REQUESTS),
            costs=costs,
            figures=[*_growth(stage)],
        )
    measures = read_json(files.measures)
    rows, heldout = _read_rows(files.rows), _read_rows(files.heldout)
    texts = {row.id: row.instruction for row in [*rows, *heldout]}
    return DataSection(
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


def _cost(role: str, path: Path) -> ModelCost:
    """Sum up a ledger without locking it, because a run may be writing to it."""
    replies, spent = 0, Spent()
    with path.open("rb") as file:
        # The head of each line holds all that is needed, and reads five times faster than its JSON.
        for head in filter(None, map(HEAD.match, file)):
            _, prompt_tokens, completion_tokens, usd = head.groups()
            spent.add(
                int(prompt_tokens), int(completion_tokens), None if usd == b"null" else float(usd)
            )
            replies += 1
    return ModelCost(role, replies, spent)


def _reasons(rejected: Mapping[str, Mapping[str, int]]) -> Iterator[RejectionReason]:
    longest = max((sum(details.values()) for details in rejected.values()), default=0)
    for name, details in rejected.items():
        count = sum(details.values())
        yield RejectionReason(name, count, 100 * count / longest, is_detail=False)
        for detail, part in details.items():
            if detail:
                yield RejectionReason(detail, part, 100 * part / longest, is_detail=True)


def _growth(stage: StageFacts) -> Iterator[Figure]:
    """Draw rows over requests. The curve bends where the generator runs out of new tasks."""
    records = list(read_jsonl(stage.run.metrics))
    if records:
        requests = [0, *(record[metrics.REQUESTS] for record in records)]
        accepted = [0, *(record[metrics.ACCEPTED] for record in records)]
        curve = Curve("Growth", requests, accepted, x_label="requests", smooth=False)
        yield Figure("Growth", "accepted rows over requests for tasks", curve_chart(curve))


def _similarities(measures: Mapping[str, Any]) -> Iterator[Figure]:
    for lang, diversity in measures["diversity"].items():
        if diversity["nearest"]:
            name = f"Similarity, {lang}"
            chart = similarity_chart(name, diversity["nearest"])
            note = f"{len(diversity['nearest']):,} instructions, each to the closest earlier one"
            yield Figure(name, note, chart)


def _lengths(rows: Sequence[Row]) -> Iterator[Figure]:
    asked = [len(f"{row.instruction} {row.input}".split()) for row in rows]
    answered = [len(row.output.split()) for row in rows]
    for name, lengths in (("Instruction and input", asked), ("Output", answered)):
        yield Figure(name, "rows by length in words", length_chart(name, lengths))


def _samples(rows: Sequence[Row]) -> list[RowSample]:
    """Choose rows by a hash of their id: the same rows each time, whatever their content."""
    shuffled = sorted(rows, key=lambda row: shuffling_key(row.id))
    seeds = [row for row in shuffled if row.source == "seed"][:SEED_SAMPLES]
    generated = [row for row in shuffled if row.source != "seed"][:GENERATED_SAMPLES]
    return [RowSample(row, flat_texts(row.lineage)) for row in [*generated, *seeds]]


def _rejected_samples(
    rejected: Iterable[Mapping[str, Any]], instructions: Mapping[str, str]
) -> dict[str, list[RejectedCandidate]]:
    """Choose a few candidates for each reason, by a hash of their content."""
    groups: defaultdict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for record in rejected:
        digest = shuffling_key(json.dumps(record, sort_keys=True))
        groups[record["reason"].partition(": ")[0]].append((digest, record))
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    return {
        name: [
            _rejected(record, instructions)
            for _, record in sorted(groups[name], key=lambda item: item[0])[:REJECTED_SAMPLES]
        ]
        for name in order
    }


def _rejected(record: Mapping[str, Any], instructions: Mapping[str, str]) -> RejectedCandidate:
    detail = record["reason"].partition(": ")[2]
    if (nearest := record["nearest"]) is not None:
        text = instructions.get(nearest["id"], nearest["id"])
        detail = f"similarity {nearest['score']:.2f} to: {text}"
    elif (overlap := record["overlap"]) is not None:
        detail = f"{overlap['benchmark']} {overlap['item']}, {overlap['kind']}: {overlap['words']}"
    parts = (record["instruction"], record["input"], record["output"])
    return RejectedCandidate("\n\n".join(filter(None, parts)), detail)
