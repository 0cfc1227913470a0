"""The evidence that a row gives a benchmark item away.

By words there are three signs, the surest first:

- *13-gram*: 13 consecutive words of any text of the item (GPT-3's length);
- *whole*: all words of a question; a question of fewer than 8 words must be a sentence or line of
  what the row asks;
- *8-gram*: runs of at least 8 words that make up most of a question, a passage or an answer; or
  most of a question together with its choices, in any order of the choices.

Words count by their weight (see BenchmarkTexts), so that common phrases count little however long
they are. docs/decontamination.md shows the cases behind the constants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain

from pacos.contamination.benchmark_texts import BenchmarkTexts, ItemTexts
from pacos.contamination.shared_runs import GRAM, Run

LONG_RUN = 13
"""Consecutive words that are not a coincidence (Brown et al. 2020, appendix C)."""

COVERED = 0.6
"""Share of a text's weight that a row must contain. Between the highest harmless overlap in 5,000
Alpaca rows (0.58) and the lowest leak (0.65)."""

MIN_WEIGHT = 2.5
"""Least weight of the shared words: that of two or three words which no other item contains."""

WHOLE_WORDS = 3
"""Least words of a question that can be recognised as a whole. Titles of one or two words occur
everywhere."""

PEAK = 0.45
"""Least weight of such a question's heaviest word, which at most 310 of 34,000 items can contain.
`Which of the following statements is false?` reaches 0.43."""


class OverlapKind(Enum):
    """The sign of an overlap, the surest first."""

    code = "code"
    run = "13-gram"
    whole = "whole"
    gram = "8-gram"


@dataclass(frozen=True, slots=True)
class Overlap:
    """A benchmark item that a row gives away."""

    benchmark: str
    item: str
    """Id of the item in its benchmark."""
    kind: OverlapKind
    score: float
    """Share of the weight of the item's text that the row contains, in (0, 1]; 1 for code."""
    words: str
    """The longest run of words that both contain, in lower case; for code, the row's function."""


class Evidence:
    """The words that one row shares with all items."""

    def __init__(
        self,
        texts: BenchmarkTexts,
        words: Sequence[str],
        runs: Iterable[Run],
        units: Collection[tuple[str, ...]],
    ) -> None:
        """Collect the evidence.

        Args:
            texts: of the items.
            words: of the row.
            runs: that the row shares with `texts`.
            units: the words of each sentence, line and choice of the row.
        """
        self._texts = texts
        self._words = words
        self._units = units
        self._runs: defaultdict[int, list[Run]] = defaultdict(list)
        for run in runs:
            self._runs[run.text].append(run)

    def items(self) -> set[int]:
        """Return the items that share a run with the row."""
        return {self._texts.owners[text] for text in self._runs}

    def overlap(self, item: int, *, asked: bool) -> Overlap | None:
        """Return the surest sign that the row gives an item away, if there is one.

        Args:
            item: its number.
            asked: True if the row asks a short question of the item.
        """
        texts_of_item = self._texts.items[item]
        for kind, texts in self._signs(texts_of_item, asked=asked):
            score = sum(map(self._shared, texts)) / sum(map(self._texts.weight, texts))
            words = self._longest(texts)
            return Overlap(texts_of_item.benchmark, texts_of_item.id, kind, score, words)
        return None

    def _signs(self, item: ItemTexts, *, asked: bool) -> Iterator[tuple[OverlapKind, list[int]]]:
        """Yield the signs, the surest first, each with the texts it was found in."""
        alone = [*item.questions, *item.passages]
        for text in [*alone, *item.choices]:
            if any(self._is_long(run) for run in self._runs.get(text, ())):
                yield OverlapKind.run, [text]
        for text in item.questions:
            if self._is_whole(text, asked=asked):
                yield OverlapKind.whole, [text]
        groups = [[text] for text in alone if self._texts.length(text) >= GRAM]
        # Choices alone prove nothing: many items share them ("True", "All of the above").
        if item.choices:
            groups.append([item.questions[0], *item.choices])
        for group in groups:
            shared = sum(map(self._shared, group))
            if shared >= max(MIN_WEIGHT, COVERED * sum(map(self._texts.weight, group))):
                yield OverlapKind.gram, group

    def _is_long(self, run: Run) -> bool:
        weight = self._texts.weight(run.text, run.offset, run.offset + run.length)
        return run.length >= LONG_RUN and weight >= MIN_WEIGHT

    def _is_whole(self, question: int, *, asked: bool) -> bool:
        length = self._texts.length(question)
        if length < WHOLE_WORDS or self._texts.peak(question) < PEAK:
            return False
        # What two items ask ("Answer the following question.") identifies neither.
        if self._texts.askers(question) > 1:
            return False
        # Runs have at least GRAM words, so shorter questions are looked up as whole units.
        if length < GRAM:
            return asked and self._texts.text(question) in self._units
        return any(run.length == length for run in self._runs.get(question, ()))

    def _shared(self, text: int) -> float:
        """Return the weight of a text's words in shared runs. A short text is shared or not."""
        if self._texts.length(text) < GRAM:
            return self._texts.weight(text) if self._texts.text(text) in self._units else 0.0
        weight, done = 0.0, 0
        # Runs can overlap in the text, if the row repeats part of it: each word counts once.
        for run in sorted(self._runs.get(text, ()), key=lambda run: run.offset):
            end = run.offset + run.length
            if end > done:
                weight += self._texts.weight(text, max(run.offset, done), end)
                done = end
        return weight

    def _longest(self, texts: Sequence[int]) -> str:
        """Return the longest run of words that the row shares with these texts."""
        shared = [words for words in map(self._texts.text, texts) if words in self._units]
        runs = chain.from_iterable(self._runs.get(text, ()) for text in texts)
        shared += [tuple(self._words[run.at : run.at + run.length]) for run in runs]
        longest: tuple[str, ...] = max(shared, key=len)
        return " ".join(longest)
