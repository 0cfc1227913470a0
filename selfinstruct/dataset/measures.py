"""Measures of a data set: the figures of its card and its report."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pacos.schemas import Row
from pacos.seeds import derived_seed
from selfinstruct.candidates.candidate import Candidate
from selfinstruct.config import FilterConfig, SelfInstructConfig
from selfinstruct.configs.method import FilterSetName
from selfinstruct.dataset.diversity import Diversity, diversity
from selfinstruct.filters.personal_data import personal_data
from selfinstruct.filters.safety import unsafe
from selfinstruct.screening.filter_sets import Filter, filter_set, first_objection

CHECKED = 2000
"""Generated rows sampled for a second check, 2 ms each. If none of them is bad, then less than
0.15 % of all rows are, at 95 % confidence (3 / 2000, the rule of three)."""

SAFETY: tuple[Filter, ...] = (unsafe, personal_data)
"""The filters that look for harm."""

DETAILS = 10
"""Details counted separately per group; every failed request can have its own error message."""

Tally = dict[str, dict[str, int]]
"""Counts of texts such as `unsafe: fraud`: by the group before the colon, then by the detail after
it. Details beyond the `DETAILS` most frequent are summed up as `others`."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Counts of rows, unless stated otherwise; the field names are the keys of measures.json."""

    seeds: int
    generated: int
    heldout: int
    """Held-out seeds; they are not among the rows."""
    copies: int
    """Rows that repeat instruction, input and output of an earlier one."""
    requests: int
    """Requests for tasks whose replies were used."""
    candidates: int
    """Candidates judged; the generated rows are those that passed."""
    rejected: Tally
    """Rejected candidates by reason."""
    terms: dict[str, int]
    """Rows by licence or terms of use."""
    teachers: dict[str, int]
    """Generated rows by generator; the key of measures.json and of the rows' lineage."""
    languages: dict[str, int]
    with_input: int
    classification: dict[str, int]
    """Rows by `yes`, `no` and `unknown`; Alpaca's method does not ask."""
    checked: int
    """Generated rows checked again, by the `fixed` filters whichever set the run used."""
    objections: Tally
    """Reasons of the filters other than `SAFETY` against checked rows."""
    harmful: dict[str, str]
    """Reasons of `SAFETY` against checked rows, by row id."""
    declined: dict[str, int]
    """Rows that rightly decline a dangerous request, by category."""
    quality: float | None
    """Mean score of the LLM judge (`lineage.quality`); None if no row has one."""
    diversity: dict[str, Diversity]
    """By language."""


def measure(
    rows: Sequence[Row],
    heldout: int,
    requests: int,
    rejected: Sequence[str],
    config: SelfInstructConfig,
) -> Measures:
    """Compute every measure.

    Args:
        rows: the rows in the order of data.jsonl.
        heldout: number of held-out seeds.
        requests: number of requests for tasks whose replies were used.
        rejected: the reason of each rejected candidate.
        config: the run's config; its seed draws the samples.
    """
    generated = [row for row in rows if row.source != "seed"]
    # A seed of its own: the sample stays the same whatever else draws numbers.
    draw = random.Random(derived_seed(config.seed, "selfinstruct", "measures"))
    checked = draw.sample(generated, min(CHECKED, len(generated)))
    languages = _counts(row.lineage["lang"] for row in rows)
    fitness = {lang: _fitness_filters(lang, config.filters) for lang in languages}
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
        objections=tally(reason for _, reason in _objections(checked, fitness)),
        harmful=dict(_objections(checked, dict.fromkeys(fitness, SAFETY))),
        declined=_counts(filter(None, (row.lineage.get("declined") for row in generated))),
        quality=fmean(scores) if scores else None,
        diversity={
            lang: diversity(_instructions(rows, lang), lang, config.seed) for lang in languages
        },
    )


def tally(texts: Iterable[str]) -> Tally:
    """Count texts by group and detail, most frequent groups first."""
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
    """Count names, most frequent first; ties keep the order of the rows."""
    return dict(Counter(names).most_common())


def _kind(row: Row) -> str:
    """Return the row's key in `Measures.classification`."""
    known = row.lineage.get("is_classification")
    return "unknown" if known is None else "yes" if known else "no"


def _instructions(rows: Sequence[Row], lang: str) -> list[str]:
    return [row.instruction for row in rows if row.lineage["lang"] == lang]


def _fitness_filters(lang: str, config: FilterConfig) -> tuple[Filter, ...]:
    """Return the `fixed` filters that ask whether a row is a task with an answer."""
    filters = filter_set(FilterSetName.fixed, lang, config)
    return tuple(one for one in (*filters.instruction, *filters.instance) if one not in SAFETY)


def _objections(
    rows: Sequence[Row], filters: Mapping[str, Sequence[Filter]]
) -> Iterator[tuple[str, str]]:
    """Yield the id of each row that a filter of its language objects to, with the first reason."""
    for row in rows:
        candidate = Candidate(row.instruction, row.input, row.output)
        reason = first_objection(candidate, filters[row.lineage["lang"]])
        if reason is not None:
            yield row.id, reason
