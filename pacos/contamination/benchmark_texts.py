"""The texts of benchmark items as numbered words, and the weight of each word."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from pacos.benchmarks.items import Item
from pacos.contamination.code_shape import functions
from pacos.text.words import tokenize

UNKNOWN = -1
"""The number of a word that no item contains."""


@dataclass(frozen=True, slots=True)
class ItemTexts:
    """The texts of one item, as ranges of numbers. Texts are numbered through all items."""

    benchmark: str
    id: str
    questions: range
    passages: range
    choices: range


class BenchmarkTexts:
    """The texts of all items in one flat array, 4 bytes per word.

    A word's weight is log((N + 1) / n) / log(N + 1), where n of the N items contain it: 1 for a
    word of a single item, almost 0 for one that all contain. Numbers and single letters, which
    serve as variables and labels, weigh nothing.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.items: list[ItemTexts] = []
        self.owners: list[int] = []
        """The item of each text, as an index into `items`."""
        self.solved_by: defaultdict[str, list[int]] = defaultdict(list)
        """Items solved by a function of each shape."""
        # A word gets the next number when it is first looked up.
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        words, self._starts = array("i"), [0]
        for item in items:
            self._add(item, words)
        # From here on, lookups must not add words.
        self._numbers.default_factory = None
        self._vocabulary = list(self._numbers)
        self.words = np.array(words, dtype=np.int32)
        """All words of all texts, as numbers."""
        self.starts = np.array(self._starts)
        """Start of each text in `words`, and the end of the last one."""
        self._weights = self._weigh()
        self._askers = self._count_askers()
        # Prefix sums make the weight of any span a difference of two entries.
        self._weight_before = np.concatenate([[0.0], np.cumsum(self._weights[self.words])])

    def _add(self, item: Item, words: array[int]) -> None:
        traces, ranges = item.traces(), []
        for texts in (traces.questions, traces.passages, traces.choices):
            first = len(self.owners)
            for text in texts:
                words.extend(map(self._numbers.__getitem__, tokenize(text)))
                self._starts.append(len(words))
                self.owners.append(len(self.items))
            ranges.append(range(first, len(self.owners)))
        for function in functions(traces.program):
            self.solved_by[function.shape].append(len(self.items))
        self.items.append(ItemTexts(item.benchmark, item.id, *ranges))

    def _weigh(self) -> NDArray[np.float64]:
        """Return the weight of each word of the vocabulary."""
        owners = np.repeat(np.array(self.owners, dtype=np.int64), np.diff(self.starts))
        # Unique (item, word) pairs, encoded as one integer: a word counts once per item.
        held = np.unique(owners * len(self._numbers) + self.words) % max(len(self._numbers), 1)
        count = len(self.items) + 1
        weights: NDArray[np.float64] = np.log(count / np.bincount(held)) / np.log(count)
        weights[[number for word, number in self._numbers.items() if _is_symbol(word)]] = 0.0
        return weights

    def _count_askers(self) -> Counter[tuple[str, ...]]:
        """Count the items that ask each question. Items with the same texts count once."""
        spans = ((texts.questions.start, texts.choices.stop, texts) for texts in self.items)
        # Keyed by content, because some benchmarks hold the same item twice.
        different = {
            self.words[self._starts[first] : self._starts[end]].tobytes(): texts
            for first, end, texts in spans
        }
        return Counter(
            self.text(question) for texts in different.values() for question in texts.questions
        )

    def numbers(self, words: Iterable[str]) -> Iterator[int]:
        """Return words as numbers, `UNKNOWN` for a word that no item contains."""
        return map(self._numbers.get, words, repeat(UNKNOWN))

    def length(self, text: int) -> int:
        """Return the number of words of a text."""
        return self._starts[text + 1] - self._starts[text]

    def text(self, text: int) -> tuple[str, ...]:
        """Return the words of a text."""
        numbers = self.words[self._starts[text] : self._starts[text + 1]]
        return tuple(self._vocabulary[number] for number in numbers.tolist())

    def askers(self, question: int) -> int:
        """Return the number of different items that ask this question."""
        return self._askers[self.text(question)]

    def weight(self, text: int, begin: int = 0, end: int | None = None) -> float:
        """Return the weight of a text's words from `begin` to before `end`; by default of all."""
        start = self._starts[text]
        stop = self._starts[text + 1] if end is None else start + end
        return float(self._weight_before[stop] - self._weight_before[start + begin])

    def peak(self, text: int) -> float:
        """Return the weight of a text's heaviest word."""
        numbers = self.words[self._starts[text] : self._starts[text + 1]]
        return float(self._weights[numbers].max(initial=0.0))


def _is_symbol(word: str) -> bool:
    return word.isnumeric() or (len(word) == 1 and word.isascii())
