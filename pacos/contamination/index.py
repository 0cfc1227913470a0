"""The index of benchmark items that rows are compared with, by words (Evidence) and by code."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np

from pacos.benchmarks.items import Item
from pacos.contamination.benchmark_texts import UNKNOWN, BenchmarkTexts
from pacos.contamination.code_shape import functions
from pacos.contamination.evidence import Evidence, Overlap, OverlapKind
from pacos.contamination.shared_runs import GRAM, Run, RunIndex
from pacos.text.words import tokenize

UNITS = re.compile(r"[.?!:;)]\s+|[。？！\n]|\s+(?=\(?\w[.)]\s)")
"""Boundaries of sentences, lines and choices: `A) Lima B) Quito` splits into Lima and Quito."""


class RowLike(Protocol):
    """A row, or a candidate for one."""

    @property
    def instruction(self) -> str: ...
    @property
    def input(self) -> str: ...
    @property
    def output(self) -> str: ...


class ContaminationIndex:
    """The items of benchmarks, indexed for comparison with rows."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._texts = BenchmarkTexts(items)
        self._runs = RunIndex(self._texts.words, self._texts.starts)
        self._short: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        """Items by a question of theirs that is too short for the run index."""
        for number, item in enumerate(self._texts.items):
            for question in item.questions:
                if self._texts.length(question) < GRAM:
                    self._short[self._texts.text(question)].append(number)

    def match(self, row: RowLike) -> Overlap | None:
        """Return the item that the row gives away most surely, if any."""
        return next(iter(self.overlaps([row])[0]), None)

    def overlaps(self, rows: Sequence[RowLike]) -> list[list[Overlap]]:
        """Return all items that each row gives away, the surest first.

        The run index is searched once for all rows, so a call is fastest with thousands of rows.
        """
        flat, starts, asked = array("i"), [], []
        for row in rows:
            starts.append(len(flat))
            instruction, given = _split(row.instruction), _split(row.input)
            words = chain(instruction.words, given.words, tokenize(row.output))
            flat.extend(self._texts.numbers(words))
            # A word that no item contains ends every run, so none spans two rows.
            flat.append(UNKNOWN)
            # Not the output: short questions matter only where the row asks them.
            units = chain(instruction.units, given.units)
            asked.append({number for unit in units for number in self._short.get(unit, ())})
        shared: defaultdict[int, list[Run]] = defaultdict(list)
        for run in self._runs.runs(np.array(flat, dtype=np.int32)):
            place = bisect_right(starts, run.at) - 1
            shared[place].append(replace(run, at=run.at - starts[place]))
        return [
            self._overlaps_of(row, shared.get(place, []), asked[place])
            for place, row in enumerate(rows)
        ]

    def _overlaps_of(self, row: RowLike, runs: list[Run], asked: set[int]) -> list[Overlap]:
        overlaps = list(self._by_code(row))
        # Most rows share nothing. Splitting the few others again saves keeping all units.
        if runs or asked:
            parts = [_split(text) for text in (row.instruction, row.input, row.output)]
            words = list(chain.from_iterable(part.words for part in parts))
            units = set(chain.from_iterable(part.units for part in parts))
            evidence = Evidence(self._texts, words, runs, units)
            for number in sorted(evidence.items() | asked):
                overlap = evidence.overlap(number, asked=number in asked)
                overlaps += [overlap] if overlap else []
        if not overlaps:
            return []
        kinds = list(OverlapKind)
        best: dict[tuple[str, str], Overlap] = {}
        for overlap in sorted(overlaps, key=lambda each: (kinds.index(each.kind), -each.score)):
            best.setdefault((overlap.benchmark, overlap.item), overlap)
        return list(best.values())

    def _by_code(self, row: RowLike) -> Iterator[Overlap]:
        for text in (row.input, row.output):
            for function in functions(text) if "def " in text else ():
                for number in self._texts.solved_by.get(function.shape, ()):
                    item = self._texts.items[number]
                    yield Overlap(item.benchmark, item.id, OverlapKind.code, 1.0, function.name)


class _SplitText(NamedTuple):
    """The words of a text."""

    words: tuple[str, ...]
    units: list[tuple[str, ...]]
    """The words of each sentence, line and choice, and of the whole text."""


def _split(text: str) -> _SplitText:
    units = [tuple(tokenize(unit)) for unit in UNITS.split(text)]
    words = tuple(chain.from_iterable(units))
    return _SplitText(words, [*units, words])
