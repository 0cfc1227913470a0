"""What a row has in common with a benchmark item, and whether it gives the item away.

By words there are three signs, the surest first:

- *13-gram*: 13 words in a row of any of the item's texts (the length that GPT-3 took);
- *whole*: a question with all its words; one of fewer than 8 words as a sentence or line of what
  the row asks;
- *8-gram*: runs of 8 words or more that are most of a question, a passage or an answer; or most of
  a question and its choices together, in any order of the choices.

Words count by their weight (see BenchmarkTexts), so that phrases which everybody uses come to
little, however long they are. docs/decontamination.md shows the cases behind the constants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain

from pacos.contamination.benchmark_texts import BenchmarkTexts, Entry
from pacos.contamination.shared_runs import GRAM, Run

LONG_RUN = 13
"""Words in a row that are no coincidence (Brown et al. 2020, appendix C)."""

COVERED = 0.6
"""Share of a text's weight from which on the text is taken to be there."""

MIN_WEIGHT = 2.5
"""Of what is shared: as much as two or three words which no other item has."""

WHOLE_WORDS = 3
PEAK = 0.45
"""What a question must have to tell by itself: so many words, one of them of this weight, which
among 34,000 items no more than 310 have. `Which of the following statements is false?` comes to
0.43, and titles of one or two words stand everywhere. What two items ask (`Answer the following
question.`) tells of neither."""


class Kind(Enum):
    """What an overlap was seen by, the surest first."""

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
    kind: Kind
    score: float
    """Share of the weight of the item's text that the row has, in (0, 1]; 1 for code."""
    words: str
    """The longest run of words that both have, in lower case; for code, the row's function."""


class Evidence:
    """What one row shares with all items."""

    def __init__(
        self,
        texts: BenchmarkTexts,
        words: Sequence[str],
        runs: Iterable[Run],
        units: Collection[tuple[str, ...]],
    ) -> None:
        """Collect it.

        Args:
            texts: of the items.
            words: the row's.
            runs: that the row shares with `texts`.
            units: the words of the row's sentences, lines and choices.
        """
        self._texts = texts
        self._words = words
        self._units = units
        self._runs: defaultdict[int, list[Run]] = defaultdict(list)
        for run in runs:
            self._runs[run.text].append(run)

    def entries(self) -> set[int]:
        """The items that share a run with the row."""
        return {self._texts.owners[text] for text in self._runs}

    def overlap(self, number: int, *, asked: bool) -> Overlap | None:
        """The surest sign that the row gives an item away, if there is one.

        Args:
            number: of the item.
            asked: the row asks a short question of the item.
        """
        entry = self._texts.entries[number]
        for kind, texts in self._signs(entry, asked=asked):
            score = sum(map(self._shared, texts)) / sum(map(self._texts.weight, texts))
            return Overlap(entry.benchmark, entry.id, kind, score, self._longest(texts))
        return None

    def _signs(self, entry: Entry, *, asked: bool) -> Iterator[tuple[Kind, list[int]]]:
        """The signs that are there, the surest first, each with the texts it was seen in."""
        alone = [*entry.questions, *entry.passages]
        for text in [*alone, *entry.choices]:
            if any(self._is_long(run) for run in self._runs.get(text, ())):
                yield Kind.run, [text]
        for text in entry.questions:
            if self._is_whole(text, asked=asked):
                yield Kind.whole, [text]
        groups = [[text] for text in alone if self._texts.length(text) >= GRAM]
        if entry.choices:
            groups.append([entry.questions[0], *entry.choices])
        for group in groups:
            shared = sum(map(self._shared, group))
            if shared >= max(MIN_WEIGHT, COVERED * sum(map(self._texts.weight, group))):
                yield Kind.gram, group

    def _is_long(self, run: Run) -> bool:
        weight = self._texts.weight(run.text, run.offset, run.offset + run.length)
        return run.length >= LONG_RUN and weight >= MIN_WEIGHT

    def _is_whole(self, question: int, *, asked: bool) -> bool:
        length = self._texts.length(question)
        if length < WHOLE_WORDS or self._texts.peak(question) < PEAK:
            return False
        if self._texts.askers(question) > 1:
            return False
        if length < GRAM:
            return asked and self._texts.text(question) in self._units
        return any(run.length == length for run in self._runs.get(question, ()))

    def _shared(self, text: int) -> float:
        """Weight of a text's words that the row has in runs; of a short text all or nothing."""
        if self._texts.length(text) < GRAM:
            return self._texts.weight(text) if self._texts.text(text) in self._units else 0.0
        weight, done = 0.0, 0
        for run in sorted(self._runs.get(text, ()), key=lambda run: run.offset):
            end = run.offset + run.length
            if end > done:
                weight += self._texts.weight(text, max(run.offset, done), end)
                done = end
        return weight

    def _longest(self, texts: Sequence[int]) -> str:
        """Of what the row shares with these texts."""
        found = [words for words in map(self._texts.text, texts) if words in self._units]
        runs = chain.from_iterable(self._runs.get(text, ()) for text in texts)
        found += [tuple(self._words[run.at : run.at + run.length]) for run in runs]
        longest: tuple[str, ...] = max(found, key=len)
        return " ".join(longest)
