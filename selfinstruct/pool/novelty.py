"""How close an instruction is to those in the pool: ROUGE-L F, exact, fast at a million entries.

On ASCII text scores and decisions equal rouge_score's rougeL without stemming; elsewhere words of
any script count, where rouge_score finds none.

The index looks at few entries and misses none above its floor. Of two texts let the shorter have
`a` words. To score above the floor they need at least `least` words in common, the number for two
texts of `a` words, since a longer partner needs more. So any `a - least + 1` words of the shorter
one hold a common word; call them its signature. A shorter entry is found where a word of the query
is in the entry's signature, a longer one where a word of the query's signature is in the entry. A
signature is the words that are rarest in the pool at that moment: the choice makes the index fast,
never wrong. What is found is thinned by two maps of bits an entry (a bit that differs is a word
that one of the two lacks), then by counting common words, which bounds ROUGE-L from above; the
longest common subsequence is computed for the few that are left, the most promising first.
"""

from __future__ import annotations

import functools
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from pacos.text.words import WordRule, tokenize, tokenizer

__all__ = ["FLOOR", "Neighbour", "NoveltyIndex", "rouge_l", "self_similarity", "tokenize"]

FLOOR = 0.6
"""Scores up to this are not looked for. With 0.5 a pool of 52,000 takes 1.4 times as long to fill,
and larger ones more than that."""

LONG = 255
"""Words; entries of so many and more are of one length in a digest, where 8 bits hold it."""

GOLDEN = 0x9E3779B1
"""2**32 / golden ratio (Fibonacci hashing): words that share a bit in a digest part in a bitmap."""

OUT_OF_REACH = 1 << 30
"""More words in common than any two texts have."""

ROUNDING = 1e-9
"""More than what floats can put between a score and its bound."""

Integers = NDArray[np.int64]


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
    """ROUGE-L F, above the floor of the index."""


@dataclass(frozen=True, slots=True)
class Holders:
    """The entries that hold a word so many times, by number, ascending."""

    all: array[int] = field(default_factory=lambda: array("i"))
    by_signature: array[int] = field(default_factory=lambda: array("i"))
    """Those of them that have it in their signature."""


@dataclass(frozen=True, slots=True)
class Query:
    """An instruction in the numbers of the index."""

    length: int
    """In words, those that the pool lacks included: they match nothing, but count."""
    known: list[int]
    """Numbers of the words that the pool has, the rarest first."""
    sequence: list[int]
    """Words in the order of the text, a repeated one by the same number; -1: the pool lacks it."""

    @property
    def unknown(self) -> int:
        return self.length - len(self.known)


class NoveltyIndex:
    """The instructions so far, ready to be compared with."""

    def __init__(self, floor: float = FLOOR, words: WordRule = WordRule.unicode) -> None:
        """Start empty.

        Args:
            floor: score that a neighbour must exceed to be found, in [0, 1). A limit that decides
                over acceptance must not be below it.
            words: what ROUGE-L compares.

        Raises:
            UserError: the package that cuts the words is not installed.
        """
        if not 0 <= floor < 1:
            raise ValueError(f"floor = {floor}: not in [0, 1)")
        self._floor = floor
        self._tokenize = tokenizer(words)
        self._numbers: dict[tuple[str, int], int] = {}
        """(word, 1) is a word, (word, 2) its repetition in one text: the sets of these of two texts
        have in common what the texts have, repetitions counted."""
        self._holders: list[Holders] = []
        self._first = array("i")
        """For the number of a repetition that of the word itself."""
        self._ids: list[str] = []
        self._lengths = array("i")
        self._starts = array("q")
        self._content = array("i")
        """Numbers of the words of all entries, in the order of the texts."""
        self._digests = array("Q")
        self._bitmaps = array("Q")
        self._longest = LONG
        """Words of the longest entry, LONG at the least."""

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, entry_id: str, instruction: str) -> None:
        """Take an instruction into the pool."""
        entry = len(self._ids)
        numbers = [self._number(key) for key in _counted(self._tokenize(instruction))]
        self._ids.append(entry_id)
        self._lengths.append(len(numbers))
        self._starts.append(len(self._content))
        self._content.extend(numbers)
        self._digests.append(_digest(numbers) | min(len(numbers), LONG))
        self._bitmaps.append(_bitmap(numbers))
        numbers.sort(key=self._frequency)
        for number in numbers[: _signature(len(numbers), self._floor)]:
            self._holders[number].by_signature.append(entry)
        for number in numbers:
            self._holders[number].all.append(entry)
        self._longest = max(self._longest, len(numbers))

    def nearest(self, instruction: str) -> Neighbour | None:
        """The entry with the highest score above the floor, the earliest of equals; None: no entry.

        An instruction without words is like nothing, as in rouge_score.
        """
        query = self._query(instruction)
        found = self._sharing_signature(query)
        if found.size:
            found = self._thin(query, found)
        if not found.size:
            return None
        found, bounds = self._bounds(query, found)
        best, winner = self._floor, -1
        order = np.argsort(-bounds, kind="stable")
        for entry, bound in zip(found[order].tolist(), bounds[order].tolist(), strict=True):
            if bound < best - ROUNDING:
                break
            score = self._score(query, entry)
            if score > best or (score == best and entry < winner):
                best, winner = score, entry
        return Neighbour(self._ids[winner], best) if winner >= 0 else None

    def _query(self, instruction: str) -> Query:
        words = self._tokenize(instruction)
        numbers = (self._numbers.get(key) for key in _counted(words))
        return Query(
            length=len(words),
            known=sorted((n for n in numbers if n is not None), key=self._frequency),
            sequence=[self._numbers.get((word, 1), -1) for word in words],
        )

    def _number(self, key: tuple[str, int]) -> int:
        number = self._numbers.setdefault(key, len(self._numbers))
        if number == len(self._holders):
            self._holders.append(Holders())
            self._first.append(self._numbers[key[0], 1])
        return number

    def _frequency(self, number: int) -> int:
        return len(self._holders[number].all)

    def _sharing_signature(self, query: Query) -> Integers:
        """Every entry above the floor and others, some of them more than once."""
        # Words that the pool lacks are its rarest: they fill the query's signature first.
        size = max(0, _signature(query.length, self._floor) - query.unknown)
        lists = [self._holders[number].by_signature for number in query.known]
        lists += [self._holders[number].all for number in query.known[:size]]
        parts = [np.frombuffer(entries, dtype=np.int32) for entries in lists if entries]
        return np.concatenate(parts, dtype=np.int64) if parts else np.empty(0, dtype=np.int64)

    def _thin(self, query: Query, found: Integers) -> Integers:
        """Each once, without those whose bits say that too few words are in common."""
        least = _least(query.length, self._longest, self._floor)
        # Words that one of the two lacks; a bit can stand for several, so it never counts too many.
        room = query.length - query.unknown + np.arange(least.size) - 2 * least
        room[LONG] = room[LONG:].max()
        digests = np.frombuffer(self._digests, dtype=np.uint64).take(found)
        allowed = room[: LONG + 1].astype(np.int32).take((digests & LONG).view(np.int64))
        digests >>= 8
        digests ^= _digest(query.known) >> 8
        likely = np.bitwise_count(digests) <= allowed
        found, allowed = found[likely], allowed[likely]
        bitmaps = np.frombuffer(self._bitmaps, dtype=np.uint64).take(found)
        bitmaps ^= _bitmap(query.known)
        found = np.sort(found[np.bitwise_count(bitmaps) <= allowed])
        return found[np.diff(found, prepend=-1) > 0]

    def _bounds(self, query: Query, found: Integers) -> tuple[Integers, NDArray[np.float64]]:
        """Those with enough words in common, and their scores if all stood in the same order."""
        sizes = np.frombuffer(self._lengths, dtype=np.int32).take(found).astype(np.int64)
        starts = np.frombuffer(self._starts, dtype=np.int64).take(found)
        offsets = np.cumsum(sizes) - sizes
        places = np.arange(sizes.sum()) + np.repeat(starts - offsets, sizes)
        numbers = np.frombuffer(self._content, dtype=np.int32).take(places)
        asked = np.zeros(len(self._holders), dtype=np.bool_)
        asked[query.known] = True
        common = np.add.reduceat(asked.take(numbers), offsets, dtype=np.int64)
        enough = common >= _least(query.length, self._longest, self._floor).take(sizes)
        bounds = 2 * common / (query.length + sizes)
        return found[enough], bounds[enough]

    def _score(self, query: Query, entry: int) -> float:
        length, start = self._lengths[entry], self._starts[entry]
        sequence = [self._first[number] for number in self._content[start : start + length]]
        return rouge_l(LCSseq.similarity(query.sequence, sequence), query.length, length)


def self_similarity(
    texts: Sequence[str], count: int, seed: int, words: WordRule = WordRule.unicode
) -> list[float]:
    """For a sample of texts the score of the closest among all before it: exact, 0 to 1.

    Args:
        texts: a pool in the order in which it grew.
        count: texts drawn, without replacement; all if there are not so many.
        seed: of the draw.
        words: what ROUGE-L compares.
    """
    drawn = set(random.Random(seed).sample(range(len(texts)), min(count, len(texts))))
    index = NoveltyIndex(floor=0.0, words=words)
    scores = []
    for number, text in enumerate(texts):
        if number in drawn:
            nearest = index.nearest(text)
            scores.append(nearest.score if nearest else 0.0)
        index.add(str(number), text)
    return scores


@functools.lru_cache(512)
def _least(length: int, longest: int, floor: float) -> Integers:
    """Words that a text must have in common with one of 0, 1, … `longest` words to exceed `floor`.

    In rouge_score's float operations: 7 common words of 10 and 10 do not exceed 0.7.
    """
    others = np.arange(longest + 1)
    least = np.maximum(np.floor(floor * (length + others) / 2).astype(np.int64), 1)
    for _ in range(2):  # The floor itself may be hit, or missed by what floats round.
        precision, recall = least / max(length, 1), least / np.maximum(others, 1)
        least += 2 * precision * recall / (precision + recall) <= floor
    least[least > np.minimum(length, others)] = OUT_OF_REACH
    return least


@functools.lru_cache(512)
def _signature(length: int, floor: float) -> int:
    """Words of a text of which a text of no fewer words has one, if they score above the floor."""
    return max(0, length - int(_least(length, length, floor)[length]) + 1)


def _counted(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each word with how often it has been there, itself included."""
    seen: dict[str, int] = {}
    for word in words:
        seen[word] = number = seen.get(word, 0) + 1
        yield word, number


def _digest(numbers: Sequence[int]) -> int:
    """A set of words in the upper 56 bits; the most frequent, numbered early, get bits apart."""
    bits = 0
    for number in numbers:
        bits |= 256 << number % 56
    return bits


def _bitmap(numbers: Sequence[int]) -> int:
    """A set of words in 64 bits, by the top six of a 32-bit hash."""
    bits = 0
    for number in numbers:
        bits |= 1 << (number * GOLDEN >> 26 & 63)
    return bits
