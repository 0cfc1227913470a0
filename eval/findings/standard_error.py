"""How sure a score is: standard errors, clustered where items share a passage.

Questions about one passage are not independent draws; taken for such, they make a score look surer
than it is (Miller 2024, arXiv 2411.00640, eq. 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

PASSAGES = ("passage", "context", "paragraph", "article", "story")
"""Fields of documents that hold what several questions may be about."""

LONG = 200
"""Characters that no two questions begin with by chance, but with one excerpt for both."""


def clusters_of(docs: Sequence[Mapping[str, Any]]) -> list[int]:
    """For each document the number of its cluster, from 0 in order of appearance."""
    roots = list(range(len(docs)))

    def root(number: int) -> int:
        while roots[number] != number:
            roots[number] = number = roots[roots[number]]
        return number

    first: dict[str, int] = {}
    for number, doc in enumerate(docs):
        for text in _shared_texts(doc):
            roots[root(number)] = root(first.setdefault(text, number))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(number), len(numbers)) for number in range(len(docs))]


def _shared_texts(doc: Mapping[str, Any]) -> list[str]:
    texts = [value for name, value in doc.items() if name in PASSAGES and isinstance(value, str)]
    others = (value for value in doc.values() if isinstance(value, str) and len(value) >= LONG)
    return [text for text in (*texts, *(value[:LONG] for value in others)) if text.strip()]


def sums(values: ArrayLike, clusters: Sequence[int] | None) -> np.ndarray:
    """Sums by cluster; the values themselves where there are none."""
    array = np.asarray(values, dtype=float)
    return array if clusters is None else np.bincount(clusters, weights=array)


def standard_error(values: ArrayLike, clusters: Sequence[int] | None = None) -> float:
    """Standard error of the mean; NaN for fewer than two clusters.

    Args:
        values: one an item.
        clusters: of each item; None: items are independent.
    """
    array = np.asarray(values, dtype=float)
    parts = sums(array - array.mean(), clusters)
    if len(parts) < 2:
        return math.nan
    return float(np.sqrt((parts**2).sum() * len(parts) / (len(parts) - 1)) / len(array))
