"""Rows and tokens of each source of a run, and what is left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sft.configs.data import DataConfig
from sft.data.mixture import Mixture
from sft.data.token_cache import TokenCache
from sft.preview.rows import RunRows
from sft.preview.signs import sanitized

MOST_REASONS = 3
"""Rows whose reasons are shown for each treatment of a source."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """Rows of a source that are left out or shortened."""

    name: str
    is_used: bool
    """True for rows that are shortened."""
    rows: int
    reasons: Sequence[str]
    """Place and reason of the first of them."""


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """Sizes of one source."""

    path: str
    rows: int
    """Rows with tokens to train on or to measure."""
    examples: int
    """More than `rows` if the template makes one example per answer."""
    tokens: int
    trained: int
    """Tokens with a loss."""
    longest: int
    """Tokens of the longest example."""
    epoch: int
    """Examples that an epoch trains on, as the weight and the held-out rows leave them."""
    held: int
    """Examples held out for validation."""
    treatments: Sequence[Treatment]
    remarks: Sequence[str]
    """What the start of the run says about the source."""

    @property
    def left_out(self) -> int:
        """Rows that are not used: too long, or unusable."""
        return sum(treatment.rows for treatment in self.treatments if not treatment.is_used)

    @property
    def share(self) -> float:
        """Share of the tokens that have a loss."""
        return self.trained / max(self.tokens, 1)


def counts(rows: RunRows) -> list[SourceCounts]:
    """Return the sizes of every source of a run."""
    return [
        SourceCounts(
            path=part.source.path,
            rows=len(np.unique(part.numbers)),
            examples=len(part.lengths),
            tokens=len(part.ids),
            trained=int(part.counts.sum(dtype=np.int64)),
            longest=int(part.lengths.max()),
            epoch=_examples(rows.training, part),
            held=_examples(rows.held, part),
            treatments=_treatments(part, rows.config.data),
            remarks=part.remarks(rows.config.data),
        )
        for part in rows.parts
    ]


def _examples(data: Mixture, part: TokenCache) -> int:
    """Return the number of examples of a mixture that come from a source."""
    before = 0
    for other in data.parts:
        if other is part:
            is_inside = (data.indices >= before) & (data.indices < before + len(part.lengths))
            return int(is_inside.sum())
        before += len(other.lengths)
    return 0


def _treatments(part: TokenCache, config: DataConfig) -> list[Treatment]:
    kept = set(part.numbers[np.isin(part.numbers, [r["number"] for r in part.facts["dropped"]])])
    long = [(row["number"] in kept, row) for row in part.facts["dropped"]]
    name = f"longer than data.max_length = {config.max_length}"
    found = [
        (f"left out, {name}", False, [row for is_kept, row in long if not is_kept]),
        (f"shortened, {name}", True, [row for is_kept, row in long if is_kept]),
        ("left out, cannot be used", False, part.facts["quarantined"]),
    ]
    return [
        Treatment(
            treatment,
            is_used,
            len(rows),
            [
                sanitized(f"{part.source.place(row['number'])}: {row['reason']}")
                for row in rows[:MOST_REASONS]
            ],
        )
        for treatment, is_used, rows in found
        if rows
    ]
