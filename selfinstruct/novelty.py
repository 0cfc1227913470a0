"""How close an instruction is to those in the pool: ROUGE-L F, exact, and fast at 50,000 entries.

On ASCII text scores equal rouge_score's rougeL without stemming. Elsewhere words of any script are
tokens, where rouge_score finds none. ROUGE-L needs the longest common subsequence; the number of
common tokens bounds it from above, so that it is computed for the few entries that could win.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

WORD = re.compile(r"[^\W_]+")
ROUNDING = 1e-9
"""More than what floats can put between a score and its bound."""


def tokenize(text: str) -> list[str]:
    """Lower-case words and numbers, in any script."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def rouge_l(common: int, length: int, other: int) -> float:
    """ROUGE-L F from the longest common subsequence, in the operations of rouge_score."""
    if common == 0:
        return 0.0
    precision, recall = common / length, common / other
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The closest entry of the pool."""

    id: str
    score: float


class NoveltyIndex:
    """The instructions so far, ready to be compared with."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._tokens: list[list[int]] = []
        self._lengths = array("i")
        self._numbers: dict[str, int] = {}
        self._holders: dict[tuple[int, int], array[int]] = {}
        """Entries that hold a token at least so many times."""

    def add(self, entry_id: str, instruction: str) -> None:
        """Take an instruction into the pool."""
        tokens = [
            self._numbers.setdefault(word, len(self._numbers)) for word in tokenize(instruction)
        ]
        for occurrence in _occurrences(tokens):
            self._holders.setdefault(occurrence, array("i")).append(len(self._ids))
        self._ids.append(entry_id)
        self._tokens.append(tokens)
        self._lengths.append(len(tokens))

    def nearest(self, instruction: str) -> Neighbour | None:
        """The entry with the highest score, the earliest of equals; None if none has a word of it.

        An instruction that is tokenised to nothing is like nothing, as in rouge_score.
        """
        # A word that the pool lacks matches nothing, but counts in the length.
        tokens = [self._numbers.get(word, -1) for word in tokenize(instruction)]
        bounds = self._bounds(tokens)
        if not bounds.any():
            return None
        winner = int(bounds.argmax())
        best = self._score(tokens, winner)
        rivals = np.flatnonzero(bounds >= best - ROUNDING)
        for entry in rivals[np.argsort(-bounds[rivals], kind="stable")].tolist():
            if bounds[entry] < best - ROUNDING:
                break
            score = self._score(tokens, entry)
            if (score, -entry) > (best, -winner):
                best, winner = score, entry
        return Neighbour(self._ids[winner], best)

    def _score(self, tokens: Sequence[int], entry: int) -> float:
        other = self._tokens[entry]
        return rouge_l(LCSseq.similarity(tokens, other), len(tokens), len(other))

    def _bounds(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        """For each entry the score if all common tokens stood in the same order."""
        common = np.zeros(len(self._ids), dtype=np.int32)
        for occurrence in _occurrences(tokens):
            if occurrence in self._holders:
                common[np.frombuffer(self._holders[occurrence], dtype=np.int32)] += 1
        lengths = np.frombuffer(self._lengths, dtype=np.int32) if self._ids else common
        return np.divide(2.0 * common, lengths + max(len(tokens), 1))


def _occurrences(tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each token with the numbers 1, 2, … for as often as it stands there."""
    for token, count in Counter(tokens).items():
        for number in range(1, count + 1):
            yield token, number
