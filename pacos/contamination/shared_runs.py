"""Runs of words that a text shares with any of many others, found by an index of n-grams.

The index holds the texts, as one flat array of words, and the places of their n-grams sorted by
hash: 16 bytes per n-gram. With 64-bit hashes, a billion lookups among two million n-grams yield a
false match with a probability of 1 in 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRAM = 8
"""Words of the shortest run to find."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Multiplier of the polynomial hash: 2**64 divided by the golden ratio, and odd, so that
multiplication loses no bits."""

SIEVE_BITS = 24
"""Size of the sieve, a table of 2**24 bytes that rules out nine absent n-grams in ten without a
binary search."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive words that occur in the same order in an indexed text and in the query."""

    text: int
    """Number of the text, in the order given to the index."""
    offset: int
    """First word in that text."""
    at: int
    """First word in the query."""
    length: int
    """Number of words, at least `GRAM`."""


class RunIndex:
    """An index of texts whose words are given as numbers."""

    def __init__(self, words: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        """Index texts.

        Args:
            words: all texts one after the other, each word as a number from 0.
            starts: start of each text in `words`, and the end of the last one.
        """
        self._starts = starts
        grams = _grams(words)
        # Words from each place to the end of its text: n-grams must not reach into the next text.
        room = np.repeat(starts[1:], np.diff(starts))[: len(grams)] - np.arange(len(grams))
        places = np.flatnonzero(room >= GRAM)
        order = np.argsort(grams[places], kind="stable")
        self._grams = grams[places][order]
        self._places = places[order]
        self._sieve = np.zeros(1 << SIEVE_BITS, dtype=np.bool_)
        self._sieve[_sieve_cell(self._grams)] = True

    def runs(self, query: NDArray[np.int32]) -> list[Run]:
        """Return the longest runs that the query shares with the texts, ordered by text.

        Args:
            query: words as numbers; -1 for a word that occurs in no text.
        """
        grams = _grams(query)
        candidates = np.flatnonzero(self._sieve[_sieve_cell(grams)])
        if not len(candidates):
            return []
        hashes = grams[candidates]
        first = np.searchsorted(self._grams, hashes, side="left")
        count = np.searchsorted(self._grams, hashes, side="right") - first
        # An n-gram can occur in several texts: one pair (at, place) for each occurrence.
        at = np.repeat(candidates, count)
        within = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
        return self._joined(at, self._places[np.repeat(first, count) + within])

    def _joined(self, at: NDArray[np.int64], places: NDArray[np.int64]) -> list[Run]:
        """Join n-grams that are consecutive in both the query and a text.

        Runs never cross texts: the last words of a text start no n-gram, so places have a gap.
        """
        # N-grams of one run lie on one diagonal, places - at, and are then ordered by `at`.
        order = np.lexsort((at, places - at))
        at, places = at[order], places[order]
        breaks = (np.diff(at) != 1) | (np.diff(places) != 1)
        begins = np.flatnonzero(np.concatenate([[True], breaks])) if len(at) else at
        ends = np.append(begins[1:], len(at))
        texts = np.searchsorted(self._starts, places[begins], side="right") - 1
        offsets = places[begins] - self._starts[texts]
        # k consecutive n-grams span k + GRAM - 1 words.
        columns = (texts, offsets, at[begins], ends - begins + GRAM - 1)
        return sorted(
            (Run(*row) for row in zip(*(column.tolist() for column in columns), strict=True)),
            key=lambda run: (run.text, run.at),
        )


def _grams(words: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return the hash of the n-gram at each word that has enough words after it."""
    count = max(len(words) - GRAM + 1, 0)
    # Plus 1, so that word 0 changes the hash; the unknown word, -1, becomes 0.
    mixed = words.astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(count, dtype=np.uint64)
    for step in range(GRAM):
        hashes = (hashes + mixed[step : step + count]) * MULTIPLIER
    return hashes


def _sieve_cell(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The high bits: a product's low bits depend on the low bits of its factors alone.
    return grams >> np.uint64(64 - SIEVE_BITS)
