"""Which runs of words a text has in common with any of many others: an index of n-grams.

The index is the texts themselves, one flat array of words, and the places of their n-grams in order
of hash: 16 bytes a gram. Hashes have 64 bits: two million grams looked up a billion times come to
a false match with a chance of 1 in 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRAM = 8
"""Words of the shortest run that is found."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Of the polynomial hash: 2**64 over the golden ratio, odd."""

SIEVE_BITS = 24
"""A table of 16 MB which says of nine n-grams in ten that they are in no text, without a search."""


@dataclass(frozen=True, slots=True)
class Run:
    """Words that stand in both, in the same order and next to each other."""

    text: int
    """Which text, in the order given to the index."""
    offset: int
    """First word in that text."""
    at: int
    """First word in the query."""
    length: int
    """Words, at least `GRAM`."""


class RunIndex:
    """Texts, as words with numbers of their own, ready to be looked up."""

    def __init__(self, words: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        """Index texts.

        Args:
            words: all texts in a row, each word by its number, from 0.
            starts: where each text begins in `words`, and the end of the last one.
        """
        self._starts = starts
        grams = _grams(words)
        room = np.repeat(starts[1:], np.diff(starts))[: len(grams)] - np.arange(len(grams))
        places = np.flatnonzero(room >= GRAM)
        order = np.argsort(grams[places], kind="stable")
        self._grams = grams[places][order]
        self._places = places[order]
        self._sieve = np.zeros(1 << SIEVE_BITS, dtype=np.bool_)
        self._sieve[_sieve_cell(self._grams)] = True

    def runs(self, query: NDArray[np.int32]) -> list[Run]:
        """The longest possible runs that the query shares with the texts, in order of text.

        Args:
            query: words by their numbers; -1 is a word that no text has.
        """
        grams = _grams(query)
        candidates = np.flatnonzero(self._sieve[_sieve_cell(grams)])
        if not len(candidates):
            return []
        found = grams[candidates]
        first = np.searchsorted(self._grams, found, side="left")
        count = np.searchsorted(self._grams, found, side="right") - first
        at = np.repeat(candidates, count)
        within = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
        return self._joined(at, self._places[np.repeat(first, count) + within])

    def _joined(self, at: NDArray[np.int64], places: NDArray[np.int64]) -> list[Run]:
        """Grams that follow each other in both, joined. Between texts there is a gap of places."""
        order = np.lexsort((at, places - at))
        at, places = at[order], places[order]
        breaks = (np.diff(at) != 1) | (np.diff(places) != 1)
        begins = np.flatnonzero(np.concatenate([[True], breaks])) if len(at) else at
        ends = np.append(begins[1:], len(at))
        texts = np.searchsorted(self._starts, places[begins], side="right") - 1
        offsets = places[begins] - self._starts[texts]
        columns = (texts, offsets, at[begins], ends - begins + GRAM - 1)
        return sorted(
            (Run(*row) for row in zip(*(column.tolist() for column in columns), strict=True)),
            key=lambda run: (run.text, run.at),
        )


def _grams(words: NDArray[np.int32]) -> NDArray[np.uint64]:
    """The hash of the n-gram that begins at each word which has enough words after it."""
    count = max(len(words) - GRAM + 1, 0)
    mixed = words.astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(count, dtype=np.uint64)
    for step in range(GRAM):
        hashes = (hashes + mixed[step : step + count]) * MULTIPLIER
    return hashes


def _sieve_cell(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return grams >> np.uint64(64 - SIEVE_BITS)
