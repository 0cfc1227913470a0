"""The texts of benchmark items as words, and how much each word tells."""

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
"""The number of a word that no item has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An item, with its texts by number; texts are numbered through all items."""

    benchmark: str
    id: str
    questions: range
    passages: range
    choices: range


class BenchmarkTexts:
    """All texts in one flat array of words, 4 bytes a word.

    A word weighs 1 if one item alone has it and next to 0 if all have it: log((N + 1) / items with
    it) / log(N + 1) for N items. Numbers and single letters, which are variables and labels, weigh
    nothing.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.entries: list[Entry] = []
        self.owners: list[int] = []
        """The entry that each text is of."""
        self.solved_by: defaultdict[str, list[int]] = defaultdict(list)
        """Entries by the shape of a function that solves them."""
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        words, self._starts = array("i"), [0]
        for item in items:
            self._add(item, words)
        self._numbers.default_factory = None
        self._vocabulary = list(self._numbers)
        self.words = np.array(words, dtype=np.int32)
        """By their numbers."""
        self.starts = np.array(self._starts)
        """Where each text begins in `words`, and the end of the last one."""
        self._weights = self._weigh()
        self._askers = self._count_askers()
        self._weight_before = np.concatenate([[0.0], np.cumsum(self._weights[self.words])])

    def _add(self, item: Item, words: array[int]) -> None:
        traces, ranges = item.traces(), []
        for texts in (traces.questions, traces.passages, traces.choices):
            first = len(self.owners)
            for text in texts:
                words.extend(map(self._numbers.__getitem__, tokenize(text)))
                self._starts.append(len(words))
                self.owners.append(len(self.entries))
            ranges.append(range(first, len(self.owners)))
        for function in functions(traces.program):
            self.solved_by[function.shape].append(len(self.entries))
        self.entries.append(Entry(item.benchmark, item.id, *ranges))

    def _weigh(self) -> NDArray[np.float64]:
        """Of each word of the vocabulary."""
        owners = np.repeat(np.array(self.owners, dtype=np.int64), np.diff(self.starts))
        held = np.unique(owners * len(self._numbers) + self.words) % max(len(self._numbers), 1)
        count = len(self.entries) + 1
        weights: NDArray[np.float64] = np.log(count / np.bincount(held)) / np.log(count)
        weights[[number for word, number in self._numbers.items() if _is_symbol(word)]] = 0.0
        return weights

    def _count_askers(self) -> Counter[tuple[str, ...]]:
        """How many items ask a question; items that are alike in all their texts count once."""
        spans = ((entry.questions.start, entry.choices.stop, entry) for entry in self.entries)
        different = {
            self.words[self._starts[first] : self._starts[end]].tobytes(): entry
            for first, end, entry in spans
        }
        return Counter(
            self.text(question) for entry in different.values() for question in entry.questions
        )

    def numbers(self, words: Iterable[str]) -> Iterator[int]:
        """Words by their numbers, `UNKNOWN` for one that no item has."""
        return map(self._numbers.get, words, repeat(UNKNOWN))

    def length(self, text: int) -> int:
        """Words of a text."""
        return self._starts[text + 1] - self._starts[text]

    def text(self, text: int) -> tuple[str, ...]:
        """A text's words."""
        numbers = self.words[self._starts[text] : self._starts[text + 1]]
        return tuple(self._vocabulary[number] for number in numbers.tolist())

    def askers(self, question: int) -> int:
        """Items that ask this question, each about something else."""
        return self._askers[self.text(question)]

    def weight(self, text: int, begin: int = 0, end: int | None = None) -> float:
        """Of the words from `begin` to before `end` of a text; of all without them."""
        start = self._starts[text]
        stop = self._starts[text + 1] if end is None else start + end
        return float(self._weight_before[stop] - self._weight_before[start + begin])

    def peak(self, text: int) -> float:
        """Weight of a text's heaviest word."""
        numbers = self.words[self._starts[text] : self._starts[text + 1]]
        return float(self._weights[numbers].max(initial=0.0))


def _is_symbol(word: str) -> bool:
    return word.isnumeric() or (len(word) == 1 and word.isascii())
