"""Novelty: the exact ROUGE-L F of an instruction with its nearest in a pool of up to a million.

On ASCII text, scores and decisions equal those of rouge_score's rougeL without stemming. In other
scripts words count too, while rouge_score drops every character outside a-z and 0-9.

The index compares few entries and misses none above its floor. Take two texts, the shorter of `a`
words. To score above the floor they must share at least `least` words: the number for two texts of
`a` words, since a longer partner needs more. Any `a - least + 1` words of the shorter text thus
include a shared word; they are its signature. A shorter entry is found because a word of the query
is in the entry's signature, a longer one because a word of the query's signature is in the entry.
The signature takes the words that are rarest in the pool when the text is added: this choice makes
the index fast, and cannot make it wrong. Two bit maps per entry then discard most of the matches (a
bit that differs is a word that one of the texts lacks). A count of the shared words bounds ROUGE-L
from above, and the longest common subsequence is computed only for the few entries left, the
highest bound first.
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
"""Lowest score searched for. 0.5 fills a pool of 52,000 in 1.4 times the time, and scales worse."""

LONG = 255
"""Words from which entries share one length in the digest, whose low 8 bits store it."""

GOLDEN = 0x9E3779B1
"""2**32 / golden ratio (Fibonacci hashing): words with the same digest bit differ in the bitmap."""

OUT_OF_REACH = 1 << 30
"""A number of shared words that no two texts reach."""

ROUNDING = 1e-9
"""Upper bound of the float error between a score and its bound."""

Integers = NDArray[np.int64]


def rouge_l(common: int, length: int, other: int) -> float:
    """Return ROUGE-L F from the length of the longest common subsequence.

    The operations are those of rouge_score, in their order, so that the floats are equal.
    """
    if common == 0:
        return 0.0
    precision, recall = common / length, common / other
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The nearest entry of the pool."""

    id: str
    score: float
    """ROUGE-L F, above the floor of the index."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Numbers of the entries that contain a word (or its n-th repetition), ascending."""

    all: array[int] = field(default_factory=lambda: array("i"))
    by_signature: array[int] = field(default_factory=lambda: array("i"))
    """Those that have it in their signature."""


@dataclass(frozen=True, slots=True)
class Query:
    """An instruction, encoded with the word numbers of the index."""

    length: int
    """Number of words; words that the pool lacks match nothing, but count here."""
    known: list[int]
    """Numbers of the words that the pool has, rarest first."""
    sequence: list[int]
    """Word numbers in text order, repetitions under the number of the word; -1: not in the pool."""

    @property
    def unknown(self) -> int:
        """Number of words that the pool lacks."""
        return self.length - len(self.known)


class NoveltyIndex:
    """The instructions of the pool, indexed for a search of the nearest."""

    def __init__(self, floor: float = FLOOR, words: WordRule = WordRule.unicode) -> None:
        """Start empty.

        Args:
            floor: score that a neighbour must exceed to be found, in [0, 1). The limit of
                acceptance must not be below it.
            words: rule that splits a text into words.

        Raises:
            UserError: the package that the rule needs is not installed.
        """
        if not 0 <= floor < 1:
            raise ValueError(f"floor = {floor}: not in [0, 1)")
        self._floor = floor
        self._tokenize = tokenizer(words)
        self._numbers: dict[tuple[str, int], int] = {}
        """(word, 2) is the second occurrence of a word in a text: the intersection of two such sets
        then counts repetitions, as ROUGE-L does."""
        self._holders: list[Holders] = []
        self._first = array("i")
        """Number of the word itself, by the number of a repetition."""
        self._ids: list[str] = []
        self._lengths = array("i")
        self._starts = array("q")
        self._content = array("i")
        """Word numbers of all entries in text order, one entry after another."""
        self._digests = array("Q")
        self._bitmaps = array("Q")
        self._longest = LONG
        """Words of the longest entry, at least LONG."""

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, entry_id: str, instruction: str) -> None:
        """Add an instruction to the pool."""
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
        """Return the entry with the highest score above the floor, the earliest of equals.

        An instruction without words has no neighbour, as in rouge_score.
        """
        query = self._query(instruction)
        entries = self._sharing_signature(query)
        if entries.size:
            entries = self._thin(query, entries)
        if not entries.size:
            return None
        entries, bounds = self._bounds(query, entries)
        best, winner = self._floor, -1
        order = np.argsort(-bounds, kind="stable")
        for entry, bound in zip(entries[order].tolist(), bounds[order].tolist(), strict=True):
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
        """Return a superset of the entries above the floor, with duplicates."""
        # Words that the pool lacks are the rarest of all: they fill the query's signature first.
        size = max(0, _signature(query.length, self._floor) - query.unknown)
        lists = [self._holders[number].by_signature for number in query.known]
        lists += [self._holders[number].all for number in query.known[:size]]
        # Views without a copy. An array cannot grow while a view of it exists; `concatenate`
        # copies, and all views are gone before the next `add`.
        parts = [np.frombuffer(entries, dtype=np.int32) for entries in lists if entries]
        return np.concatenate(parts, dtype=np.int64) if parts else np.empty(0, dtype=np.int64)

    def _thin(self, query: Query, entries: Integers) -> Integers:
        """Remove duplicates, and entries whose bit maps rule out enough shared words."""
        least = _least(query.length, self._longest, self._floor)
        # Most words that one of the two may lack. Words can share a bit, so the count of differing
        # bits is a lower bound of the words that differ: no entry above the floor is lost.
        room = query.length - query.unknown + np.arange(least.size) - 2 * least
        # Entries of LONG words and more share one place: allow what the most tolerant of them
        # allows.
        room[LONG] = room[LONG:].max()
        digests = np.frombuffer(self._digests, dtype=np.uint64).take(entries)
        allowed = room[: LONG + 1].astype(np.int32).take((digests & LONG).view(np.int64))
        digests >>= 8
        digests ^= _digest(query.known) >> 8
        likely = np.bitwise_count(digests) <= allowed
        entries, allowed = entries[likely], allowed[likely]
        bitmaps = np.frombuffer(self._bitmaps, dtype=np.uint64).take(entries)
        bitmaps ^= _bitmap(query.known)
        entries = np.sort(entries[np.bitwise_count(bitmaps) <= allowed])
        return entries[np.diff(entries, prepend=-1) > 0]

    def _bounds(self, query: Query, entries: Integers) -> tuple[Integers, NDArray[np.float64]]:
        """Return the entries with enough shared words, and upper bounds of their scores.

        The bound is the score that they would have if the shared words stood in the same order.
        """
        sizes = np.frombuffer(self._lengths, dtype=np.int32).take(entries).astype(np.int64)
        starts = np.frombuffer(self._starts, dtype=np.int64).take(entries)
        # Gather the words of all entries into one flat array, entry after entry.
        offsets = np.cumsum(sizes) - sizes
        places = np.arange(sizes.sum()) + np.repeat(starts - offsets, sizes)
        numbers = np.frombuffer(self._content, dtype=np.int32).take(places)
        in_query = np.zeros(len(self._holders), dtype=np.bool_)
        in_query[query.known] = True
        common = np.add.reduceat(in_query.take(numbers), offsets, dtype=np.int64)
        enough = common >= _least(query.length, self._longest, self._floor).take(sizes)
        bounds = 2 * common / (query.length + sizes)
        return entries[enough], bounds[enough]

    def _score(self, query: Query, entry: int) -> float:
        length, start = self._lengths[entry], self._starts[entry]
        sequence = [self._first[number] for number in self._content[start : start + length]]
        return rouge_l(LCSseq.similarity(query.sequence, sequence), query.length, length)


def self_similarity(
    texts: Sequence[str], count: int, seed: int, words: WordRule = WordRule.unicode
) -> list[float]:
    """Return, for a sample of texts, the exact ROUGE-L F with the nearest of all earlier texts.

    Args:
        texts: a pool in the order in which it grew.
        count: size of the sample, drawn without replacement; all texts if there are fewer.
        seed: seed of the draw.
        words: rule that splits a text into words.
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
    """Return the words to share with a text of 0, 1, … `longest` words to exceed `floor`.

    The result follows rouge_score's float operations: 7 shared words of 10 and 10 do not exceed
    0.7.
    """
    others = np.arange(longest + 1)
    least = np.maximum(np.floor(floor * (length + others) / 2).astype(np.int64), 1)
    # Twice: the first guess may hit the floor exactly, or miss it by a rounding error.
    for _ in range(2):
        precision, recall = least / max(length, 1), least / np.maximum(others, 1)
        least += 2 * precision * recall / (precision + recall) <= floor
    least[least > np.minimum(length, others)] = OUT_OF_REACH
    return least


@functools.lru_cache(512)
def _signature(length: int, floor: float) -> int:
    """Return the size of a text's signature: enough words that a longer match must have one."""
    return max(0, length - int(_least(length, length, floor)[length]) + 1)


def _counted(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each word with its count of occurrences so far, this one included."""
    seen: dict[str, int] = {}
    for word in words:
        seen[word] = number = seen.get(word, 0) + 1
        yield word, number


def _digest(numbers: Sequence[int]) -> int:
    """Return a set of words in the upper 56 bits.

    Frequent words tend to come early and have low numbers, so that they get bits of their own.
    """
    bits = 0
    for number in numbers:
        # 256 is bit 8: the low byte is left to the length.
        bits |= 256 << number % 56
    return bits


def _bitmap(numbers: Sequence[int]) -> int:
    """Return a set of words in 64 bits, by the top six bits of a 32-bit hash."""
    bits = 0
    for number in numbers:
        bits |= 1 << (number * GOLDEN >> 26 & 63)
    return bits
