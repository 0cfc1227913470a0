"""Requirements on demonstration data: enough, diverse, appropriate, safe, of high quality.

Each threshold is calibrated on known data under the same measure. "Alpaca" is the first 5,000 rows
of its release, measured once; the shipped seeds are measured anew each time.
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
"""Fewest rows; InstructGPT's supervised model saw 13,000 demonstrations (Ouyang et al. 2022)."""
WORDING = 80
"""Lowest distinct-2, in percent of that of the shipped seeds. Alpaca has 87, Self-Instruct's seeds
86, its 252 expert tasks 88."""
SAME_PAIR = 1.0
"""Highest probability of the same verb-object pair, in percent. Alpaca has 0.22, Self-Instruct's
252 expert tasks 0.39."""
NEAR_COPY = 0.7
"""ROUGE-L F above which Self-Instruct and Alpaca reject an instruction as a copy."""
NEAR_COPIES = 2.0
"""Highest share of near copies, in percent. Tasks written by people have about 1 (Self-Instruct's
seeds 1.1, its expert tasks 1.2)."""
OBJECTIONS = 5.0
"""Highest share of rows that a filter objects to, in percent. Filters have false positives: they
object to 2 to 4 percent of tasks written by people (the shipped seeds, Self-Instruct's expert
tasks), and to 1.5 percent of Alpaca."""
QUALITY = 7.0
"""Lowest mean score of 10; on the judge's scale "useful, with a small omission"."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement with its measured value; the field names are the keys of requirements.json."""

    demand: str
    """Property that the data must have."""
    measure: str
    """Measure of the property, in words."""
    found: float | None
    """Measured value; None: there was nothing to measure."""
    is_minimum: bool
    """True if `found` must be at least the threshold; False: at most."""
    threshold: float
    unit: str
    """`%`; empty for counts and scores."""
    blind_to: str
    """Defects that the measure cannot detect."""

    @property
    def met(self) -> bool | None:
        """True if the threshold is kept; None if there was nothing to measure."""
        if self.found is None:
            return None
        return self.found >= self.threshold if self.is_minimum else self.found <= self.threshold

    def to_json(self) -> dict[str, Any]:
        """Return the record of requirements.json."""
        return {**asdict(self), "met": self.met}


def requirements(measures: Measures) -> list[Requirement]:
    """Return all requirements with the values of a data set."""
    return [
        Requirement(
            "enough",
            "rows",
            measures.seeds + measures.generated,
            is_minimum=True,
            threshold=ROWS,
            unit="",
            blind_to="their content",
        ),
        *_diverse(measures),
        _at_most_percent(
            "appropriate",
            f"share of {measures.checked:,} sampled generated rows that a filter objects to: no "
            "answer, a refusal, a loop, a missing part",
            sum(sum(details.values()) for details in measures.objections.values()),
            measures.checked,
            OBJECTIONS,
            "answers that are false, incomplete or off the task",
        ),
        _at_most_percent(
            "safe",
            f"share of {measures.checked:,} sampled generated rows that do something dangerous or "
            "contain what may be personal data, by rules",
            len(measures.harmful),
            measures.checked,
            0.0,
            "implied danger, irony, danger told as fiction; bias across rows",
        ),
        Requirement(
            "quality above all",
            "mean score of the LLM judge, 1 to 10",
            measures.quality,
            is_minimum=True,
            threshold=QUALITY,
            unit="",
            blind_to="mistakes of the judge: read about 200 rows yourself",
        ),
    ]


def _diverse(measures: Measures) -> Iterator[Requirement]:
    yield Requirement(
        "diverse",
        "rows that are exact copies of others",
        measures.copies,
        is_minimum=False,
        threshold=0,
        unit="",
        blind_to="copies in other words",
    )
    for lang, diversity in measures.diversity.items():
        wording, seeds = diversity.distinct, _distinct_of_seeds(lang)
        yield Requirement(
            "diverse",
            f"{lang}: distinct word pairs in a segment of 1,000, relative to the shipped seeds",
            100 * wording[1] / seeds[1] if wording else None,
            is_minimum=True,
            threshold=WORDING,
            unit="%",
            blind_to="the same tasks in other words",
        )
        pairs = diversity.verb_objects
        yield _at_most_percent(
            "diverse",
            f"{lang}: probability that two instructions have the same verb and object "
            f"({pairs.found:,} of {pairs.looked_at:,} have both)",
            pairs.same_pair,
            1,
            SAME_PAIR,
            "instructions without such a pair; topics",
        )
        yield _at_most_percent(
            "diverse",
            f"{lang}: instructions with ROUGE-L above {NEAR_COPY} with an earlier one "
            f"({len(diversity.nearest):,} sampled)",
            sum(score > NEAR_COPY for score in diversity.nearest),
            len(diversity.nearest),
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
