"""What demonstration data must be, and whether a data set is: diverse, appropriate, safe, enough.

Each threshold is argued by what the same measure says of data that is known. Alpaca is the first
5,000 rows of its release, measured once; the shipped seeds are measured anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pacos.schemas import read_seed_tasks
from selfinstruct.config import SHIPPED_SEEDS
from selfinstruct.dataset.diversity import distinct
from selfinstruct.dataset.measures import Measures

ROWS = 10_000
"""InstructGPT was first trained on 13,000 demonstrations (Ouyang et al. 2022)."""
WORDING = 80
"""Percent of the shipped seeds' distinct-2. Alpaca has 87, Self-Instruct's seeds 86, its experts'
tasks 88."""
SAME_PAIR = 1.0
"""Percent; Alpaca has 0.22, Self-Instruct's 252 tasks by experts 0.39."""
NEAR_COPY = 0.7
"""ROUGE-L F above which Self-Instruct and Alpaca call an instruction a copy."""
NEAR_COPIES = 2.0
"""Percent; tasks that people wrote have 1 (Self-Instruct's seeds 1.1, its experts' tasks 1.2)."""
OBJECTIONS = 5.0
"""Percent. The filters are not always right: of tasks that people wrote they object to 2 to 4 (the
shipped seeds, Self-Instruct's experts), of Alpaca to 1.5."""
QUALITY = 7.0
"""Of 10: on the judge's scale useful, with a small omission that misleads nobody."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the table."""

    demand: str
    measure: str
    found: float | None
    """None: not measured."""
    is_minimum: bool
    """Whether `found` must be at least the threshold, else at most."""
    threshold: float
    unit: str
    """`%`, or nothing for counts and scores."""
    blind_to: str
    """What the measure cannot see."""

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.found is None:
            return None
        return self.found >= self.threshold if self.is_minimum else self.found <= self.threshold

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def requirements(measures: Measures) -> list[Requirement]:
    """The table of a data set."""
    return [
        Requirement(
            "enough",
            "rows",
            measures.seeds + measures.generated,
            is_minimum=True,
            threshold=ROWS,
            unit="",
            blind_to="what is in them",
        ),
        *_diverse(measures),
        _at_most_percent(
            "appropriate",
            f"of {measures.checked:,} generated rows, drawn, those that a filter objects to: no "
            "answer, a refusal, a loop, a part that is missing",
            sum(sum(details.values()) for details in measures.objections.values()),
            measures.checked,
            OBJECTIONS,
            "whether an answer is true, complete, or what was asked for",
        ),
        _at_most_percent(
            "safe",
            f"of {measures.checked:,} generated rows, drawn, those that do something dangerous or "
            "hold what may be a person's data, by rules",
            len(measures.harmful),
            measures.checked,
            0.0,
            "what is only implied, irony, danger told as fiction; bias over many rows",
        ),
        Requirement(
            "quality above all",
            "mean score of a judge, 1 to 10",
            measures.quality,
            is_minimum=True,
            threshold=QUALITY,
            unit="",
            blind_to="the judge's own mistakes: read some 200 rows yourself",
        ),
    ]


def _diverse(measures: Measures) -> Iterator[Requirement]:
    yield Requirement(
        "diverse",
        "rows that are copies of others",
        measures.copies,
        is_minimum=False,
        threshold=0,
        unit="",
        blind_to="copies with other words",
    )
    for lang, found in measures.diversity.items():
        wording, seeds = found.distinct, _distinct_of_seeds(lang)
        yield Requirement(
            "diverse",
            f"{lang}: different pairs of words in a segment of 1,000, in percent of the shipped "
            "seeds' share",
            100 * wording[1] / seeds[1] if wording else None,
            is_minimum=True,
            threshold=WORDING,
            unit="%",
            blind_to="other words for the same tasks",
        )
        pairs = found.verb_objects
        yield _at_most_percent(
            "diverse",
            f"{lang}: chance that two instructions have the same verb and object "
            f"({pairs.found:,} of {pairs.looked_at:,} have both)",
            pairs.same_pair,
            1,
            SAME_PAIR,
            "instructions without such a pair; topics",
        )
        yield _at_most_percent(
            "diverse",
            f"{lang}: instructions with ROUGE-L above {NEAR_COPY} with an earlier one "
            f"({len(found.nearest):,} drawn)",
            sum(score > NEAR_COPY for score in found.nearest),
            len(found.nearest),
            NEAR_COPIES,
            "the same task in other words",
        )


def _at_most_percent(
    demand: str, measure: str, part: float | None, whole: int, threshold: float, blind_to: str
) -> Requirement:
    share = None if part is None or whole == 0 else 100 * part / whole
    return Requirement(
        demand,
        measure,
        share,
        is_minimum=False,
        threshold=threshold,
        unit="%",
        blind_to=blind_to,
    )


def _distinct_of_seeds(lang: str) -> list[float]:
    return distinct(seed.instruction for seed in read_seed_tasks(SHIPPED_SEEDS / f"{lang}.jsonl"))
