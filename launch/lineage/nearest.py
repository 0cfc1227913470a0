"""Rows nearest to a text, by the words in common."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pacos.text.words import tokenize

T = TypeVar("T")


def nearest(
    text: str, rows: Callable[[], Iterable[tuple[T, str]]], count: int
) -> Sequence[tuple[float, T]]:
    """Return the rows nearest to a text, the nearest first, with their similarity from 0 to 1.

    The similarity is the cosine of the sets of words, each weighted by its inverse document
    frequency. Rows are read twice instead of kept: a data set may be larger than memory.

    Args:
        text: to look for.
        rows: reads all rows: what to return of each, and its text.
        count: most rows to return; those without a common word are never among them.
    """
    asked = {*tokenize(text)}
    with_word: Counter[str] = Counter()
    total = 0
    for _, row in rows():
        with_word.update({*tokenize(row)})
        total += 1

    def weight(words: Iterable[str]) -> float:
        return sum(math.log(1 + total / (1 + with_word[word])) ** 2 for word in words)

    own = weight(asked)
    best: list[tuple[float, int, T]] = []
    for number, (result, row) in enumerate(rows()):
        words = {*tokenize(row)}
        common = weight(asked & words)
        if common:
            # The number decides between equals: results need not be comparable.
            entry = (common / math.sqrt(own * weight(words)), -number, result)
            heapq.heappush(best, entry)
            if len(best) > count:
                heapq.heappop(best)
    return [(score, result) for score, _, result in sorted(best, reverse=True, key=lambda e: e[:2])]
