"""From rows to the benchmark items that they give away, by words (Evidence) or by code."""

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
from pacos.contamination.evidence import Evidence, Kind, Overlap
from pacos.contamination.shared_runs import GRAM, Run, RunIndex
from pacos.text.words import tokenize

UNITS = re.compile(r"[.?!:;)]\s+|[。？！\n]|\s+(?=\(?\w[.)]\s)")
"""Between sentences, lines, and choices: `A) Lima B) Quito` is Lima and Quito."""


class Task(Protocol):
    """A row, or a candidate for one."""

    @property
    def instruction(self) -> str: ...
    @property
    def input(self) -> str: ...
    @property
    def output(self) -> str: ...


class ContaminationIndex:
    """The items of benchmarks, ready for rows to be compared with."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._texts = BenchmarkTexts(items)
        self._runs = RunIndex(self._texts.words, self._texts.starts)
        self._short: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        """Entries by a short question of theirs."""
        for number, entry in enumerate(self._texts.entries):
            for question in entry.questions:
                if self._texts.length(question) < GRAM:
                    self._short[self._texts.text(question)].append(number)

    def match(self, row: Task) -> Overlap | None:
        """The item that the row gives away most surely, if any."""
        return next(iter(self.overlaps([row])[0]), None)

    def overlaps(self, rows: Sequence[Task]) -> list[list[Overlap]]:
        """For each row all items that it gives away, the surest first; fastest by the thousand."""
        flat, starts, asked = array("i"), [], []
        for row in rows:
            starts.append(len(flat))
            instruction, given = _cut(row.instruction), _cut(row.input)
            words = chain(instruction.words, given.words, tokenize(row.output))
            flat.extend(self._texts.numbers(words))
            flat.append(UNKNOWN)
            units = chain(instruction.units, given.units)
            asked.append({number for unit in units for number in self._short.get(unit, ())})
        shared: defaultdict[int, list[Run]] = defaultdict(list)
        for run in self._runs.runs(np.array(flat, dtype=np.int32)):
            place = bisect_right(starts, run.at) - 1
            shared[place].append(replace(run, at=run.at - starts[place]))
        return [
            self._judge(row, shared.get(place, []), asked[place]) for place, row in enumerate(rows)
        ]

    def _judge(self, row: Task, runs: list[Run], asked: set[int]) -> list[Overlap]:
        found = list(self._by_code(row))
        if runs or asked:
            cuts = [_cut(text) for text in (row.instruction, row.input, row.output)]
            words = list(chain.from_iterable(cut.words for cut in cuts))
            units = set(chain.from_iterable(cut.units for cut in cuts))
            evidence = Evidence(self._texts, words, runs, units)
            for number in sorted(evidence.entries() | asked):
                overlap = evidence.overlap(number, asked=number in asked)
                found += [overlap] if overlap else []
        if not found:
            return []
        kinds = list(Kind)
        best: dict[tuple[str, str], Overlap] = {}
        for overlap in sorted(found, key=lambda one: (kinds.index(one.kind), -one.score)):
            best.setdefault((overlap.benchmark, overlap.item), overlap)
        return list(best.values())

    def _by_code(self, row: Task) -> Iterator[Overlap]:
        for text in (row.input, row.output):
            for function in functions(text) if "def " in text else ():
                for number in self._texts.solved_by.get(function.shape, ()):
                    entry = self._texts.entries[number]
                    yield Overlap(entry.benchmark, entry.id, Kind.code, 1.0, function.name)


class _Cut(NamedTuple):
    """The words of a text."""

    words: tuple[str, ...]
    units: list[tuple[str, ...]]
    """Of its sentences, lines and choices, and of the text as a whole."""


def _cut(text: str) -> _Cut:
    units = [tuple(tokenize(unit)) for unit in UNITS.split(text)]
    words = tuple(chain.from_iterable(units))
    return _Cut(words, [*units, words])
