"""Standard errors of scores, clustered where items share a passage.

Questions about one passage are not independent draws. Counted as such, they make a score look more
certain than it is (Miller 2024, arXiv 2411.00640, eq. 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import DisjointSet

PASSAGES = ("passage", "context", "paragraph", "article", "story")
"""Fields of documents that hold a text which several questions may be about."""

LONG = 200
"""Characters that no two questions begin with by chance, but only because of a common excerpt."""


def clusters_of(docs: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the cluster index of each document, from 0 in the order of appearance.

    Documents that share a text belong together, directly or through others.
    """
    linked = DisjointSet(range(len(docs)))
    first: dict[str, int] = {}
    for index, doc in enumerate(docs):
        for text in _shared_texts(doc):
            linked.merge(index, first.setdefault(text, index))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(linked[index], len(numbers)) for index in range(len(docs))]


def _shared_texts(doc: Mapping[str, Any]) -> list[str]:
    texts = [value for name, value in doc.items() if name in PASSAGES and isinstance(value, str)]
    # Beginnings only: an excerpt that questions share stands before what each one asks.
    others = (value for value in doc.values() if isinstance(value, str) and len(value) >= LONG)
    return [text for text in (*texts, *(value[:LONG] for value in others)) if text.strip()]


def sums(values: ArrayLike, clusters: Sequence[int] | None) -> np.ndarray:
    """Return sums by cluster; the values themselves without clusters."""
    array = np.asarray(values, dtype=float)
    return array if clusters is None else np.bincount(clusters, weights=array)


def standard_error(values: ArrayLike, clusters: Sequence[int] | None = None) -> float:
    """Return the standard error of the mean; NaN for fewer than two clusters.

    Args:
        values: one per item.
        clusters: cluster index of each item; None if items are independent.
    """
    array = np.asarray(values, dtype=float)
    parts = sums(array - array.mean(), clusters)
    if len(parts) < 2:
        return math.nan
    # n / (n - 1) makes it the usual standard error where every cluster is one item.
    return float(np.sqrt((parts**2).sum() * len(parts) / (len(parts) - 1)) / len(array))
