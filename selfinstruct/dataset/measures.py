"""What can be counted about a data set: the figures of its card and its report."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pacos.schemas import Row
from pacos.seeds import derived_seed
from selfinstruct.config import SelfInstructConfig
from selfinstruct.dataset.diversity import Diversity, diversity
from selfinstruct.filters.personal_data import personal_data
from selfinstruct.filters.safety import unsafe
from selfinstruct.parse import Candidate
from selfinstruct.screening.rules import FORMS, Filter

CHECKED = 2000
"""Generated rows that are looked at again, 2 ms each. If none of them is bad, then with 95 %
certainty less than 0.15 % of all are (3 / 2000, the rule of three)."""

SAFETY: tuple[Filter, ...] = (unsafe, personal_data)
"""The filters that look for harm."""
FITNESS: dict[str, tuple[Filter, ...]] = {
    lang: tuple(one for one in (*form.instruction, *form.instance) if one not in SAFETY)
    for lang, form in FORMS["fixed"].items()
}
"""By language those that ask whether a row is a task with an answer."""

DETAILS = 10
"""Kept apart in a group; a service's error messages can be as many as its requests."""

Tally = dict[str, dict[str, int]]
"""Counts of texts such as `unsafe: fraud`, by what is before the colon and then by the rest; beyond
`DETAILS` of them the rest is `others`."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Counts of rows, unless something else is said."""

    seeds: int
    generated: int
    heldout: int
    copies: int
    """Rows of which an earlier one has the same instruction, input and output."""
    requests: int
    """For tasks."""
    candidates: int
    """Judged; the generated rows are what was left of them."""
    rejected: Tally
    """Candidates by reason."""
    terms: dict[str, int]
    teachers: dict[str, int]
    languages: dict[str, int]
    with_input: int
    classification: dict[str, int]
    """`yes`, `no` and `unknown`: a method of one step does not ask."""
    checked: int
    """Generated rows that were looked at again with the fixed filters, whatever the method used."""
    objections: Tally
    """What the filters would object to among these."""
    harmful: dict[str, str]
    """By id those of them that `SAFETY` objects to, with the reason."""
    declined: dict[str, int]
    """Rows that ask for something dangerous and rightly decline it, by category."""
    quality: float | None
    """Mean of the rows' `lineage.quality`, a judge's score; None if no row has one."""
    diversity: dict[str, Diversity]
    """By language."""


def measure(
    rows: Sequence[Row],
    heldout: int,
    requests: int,
    rejected: Sequence[str],
    config: SelfInstructConfig,
) -> Measures:
    """Count everything.

    Args:
        rows: in the order of data.jsonl.
        heldout: seeds kept apart.
        requests: for tasks, whose replies were used.
        rejected: reason of each rejected candidate.
        config: of the run; its seed is that of what is drawn.
    """
    generated = [row for row in rows if row.source != "seed"]
    draw = random.Random(derived_seed(config.seed, "selfinstruct", "measures"))
    checked = draw.sample(generated, min(CHECKED, len(generated)))
    languages = _counts(row.lineage["lang"] for row in rows)
    scores = [row.lineage["quality"] for row in rows if "quality" in row.lineage]
    return Measures(
        seeds=len(rows) - len(generated),
        generated=len(generated),
        heldout=heldout,
        copies=len(rows) - len({(row.instruction, row.input, row.output) for row in rows}),
        requests=requests,
        candidates=len(generated) + len(rejected),
        rejected=tally(rejected),
        terms=_counts(row.lineage["terms"] for row in rows),
        teachers=_counts(row.lineage["teacher"] for row in rows if "teacher" in row.lineage),
        languages=languages,
        with_input=sum(bool(row.input) for row in rows),
        classification=_counts(_kind(row) for row in rows),
        checked=len(checked),
        objections=tally(reason for _, reason in _objections(checked, FITNESS, config)),
        harmful=dict(_objections(checked, dict.fromkeys(FITNESS, SAFETY), config)),
        declined=_counts(filter(None, (row.lineage.get("declined") for row in generated))),
        quality=fmean(scores) if scores else None,
        diversity={
            lang: diversity(_instructions(rows, lang), lang, config.seed) for lang in languages
        },
    )


def tally(texts: Iterable[str]) -> Tally:
    """Count texts by group and detail, the most frequent groups first."""
    groups: dict[str, Counter[str]] = {}
    for text in texts:
        group, _, detail = text.partition(": ")
        groups.setdefault(group, Counter())[detail] += 1
    order = sorted(groups, key=lambda group: (-groups[group].total(), group))
    return {group: _most_frequent(groups[group]) for group in order}


def _most_frequent(details: Counter[str]) -> dict[str, int]:
    shown = dict(details.most_common(DETAILS))
    others = details.total() - sum(shown.values())
    return {**shown, "others": others} if others else shown


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _kind(row: Row) -> str:
    known = row.lineage.get("is_classification")
    return "unknown" if known is None else "yes" if known else "no"


def _instructions(rows: Sequence[Row], lang: str) -> list[str]:
    return [row.instruction for row in rows if row.lineage["lang"] == lang]


def _objections(
    rows: Sequence[Row], filters: Mapping[str, Sequence[Filter]], config: SelfInstructConfig
) -> Iterator[tuple[str, str]]:
    """Ids of rows that a filter objects to, with the first reason; the filters are by language."""
    for row in rows:
        candidate = Candidate(row.instruction, row.input, row.output)
        reasons = (judge(candidate, config.filters) for judge in filters[row.lineage["lang"]])
        reason = next((reason for reason in reasons if reason is not None), None)
        if reason is not None:
            yield row.id, reason
