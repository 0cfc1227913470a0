"""From tokenised requests to forward passes in which nothing that requests share is computed twice.

A *row* is the end of a context with all its continuations. A *trunk* is the beginning that the
contexts of several rows have in common, such as the examples before every question of a subject.
A *pass* runs trunks and rows together, a *unit* is passes in a row of which the later ones use the
trunk of the first. The plan depends on the requests alone, never on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from pacos.errors import UserError

Request = tuple[tuple[str, str] | None, list[int], list[int]]
"""The harness's tokenised request: its texts, the context's tokens, the continuation's tokens."""

WORTH = 1 / 8
"""A trunk is shared if it is at least this part of what each row has to itself: attention within a
row costs twice that of a trunk, because it goes through a mask."""

ROW_TOKENS = 2048
"""A row with more tokens of continuations is divided: its mask grows with their square."""

UNIT_PASSES = 8
"""Passes after which a trunk is computed again, so that ranks can share a large subject."""


@dataclass(slots=True)
class Row:
    """The end of a context, and continuations that each see it and not each other."""

    context: list[int]
    """At least the last token, which predicts the first one of each continuation."""
    continuations: list[list[int]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """Place of each continuation among the requests."""

    def __len__(self) -> int:
        # The last token of a continuation is predicted, never read.
        return len(self.context) + sum(len(tokens) - 1 for tokens in self.continuations)


@dataclass(slots=True)
class Group:
    """A trunk and the rows that begin with it."""

    trunk: list[int]
    rows: list[Row]

    def __len__(self) -> int:
        return len(self.trunk) + sum(map(len, self.rows))


@dataclass(slots=True)
class Pass:
    """What one forward pass computes."""

    groups: list[Group]
    is_resumed: bool = False
    """The trunk of the only group was computed by the pass before."""
    is_continued: bool = False
    """The pass after needs the trunk."""

    def __len__(self) -> int:
        """Tokens that are computed."""
        resumed = len(self.groups[0].trunk) if self.is_resumed else 0
        return sum(map(len, self.groups)) - resumed

    def numbers(self) -> list[int]:
        """The requests that it answers, in order."""
        return [number for group in self.groups for row in group.rows for number in row.numbers]


Unit = list[Pass]


def make_units(requests: Sequence[Request], max_length: int, batch_tokens: int) -> list[Unit]:
    """Plan requests.

    Args:
        requests: tokenised.
        max_length: tokens that the model reads; what is longer loses its left end.
        batch_tokens: tokens a pass, as far as rows and trunks can be divided.

    Raises:
        UserError: a continuation has no token of its own, or leaves no room for a context.
    """
    groups = make_groups(make_rows(requests, max_length))
    small = [group for group in groups if len(group) <= batch_tokens]
    large = [group for group in groups if len(group) > batch_tokens]
    units = [unit for group in large for unit in _divide(group, batch_tokens)]
    # Attention pads trunks to the longest of a pass.
    small.sort(key=lambda group: len(group.trunk), reverse=True)
    return [*units, *([one] for one in _gather(small, batch_tokens))]


def make_rows(requests: Sequence[Request], max_length: int) -> list[Row]:
    """Put continuations of one context together, cut from the left as the harness cuts."""
    rows: list[Row] = []
    of_context: dict[tuple[int, ...], Row] = {}
    for number, (texts, context, continuation) in enumerate(requests):
        if not 0 < len(continuation) <= max_length:
            raise UserError(
                f"{texts}: the continuation has {len(continuation)} tokens of its own, which must "
                f"be 1 to {max_length}; change the task's doc_to_choice or target_delimiter"
            )
        kept = tuple(context[-(max_length + 1 - len(continuation)) :])
        row = of_context.get(kept)
        if row is None or len(row) - len(kept) + len(continuation) > ROW_TOKENS:
            row = of_context[kept] = Row(list(kept))
            rows.append(row)
        row.continuations.append(continuation)
        row.numbers.append(number)
    return rows


def make_groups(rows: Sequence[Row]) -> list[Group]:
    """Give rows the trunks that save most tokens; a row that shares none has one of its own."""
    arrays = [np.array(row.context, dtype=np.int32) for row in rows]
    # Big-endian bytes sort as the numbers do, and fast.
    order = sorted(range(len(rows)), key=lambda number: arrays[number].astype(">i4").tobytes())
    lengths = [len(arrays[number]) for number in order]
    shared = [_common(arrays[one], arrays[other]) for one, other in pairwise(order)]
    groups = []
    for first, end, depth in _best_trunks(lengths, shared):
        members = [rows[order[place]] for place in range(first, end)]
        trunk = members[0].context[:depth]
        own = [Row(row.context[depth:], row.continuations, row.numbers) for row in members]
        groups.append(Group(trunk, sorted(own, key=len)))
    return groups


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Tokens that two contexts begin with, short of the last of either."""
    size = min(len(one), len(other)) - 1
    different = one[:size] != other[:size]
    return int(different.argmax()) if different.any() else size


@dataclass(slots=True)
class _Span:
    """Rows, in order of their contexts, that begin with the same `depth` tokens."""

    depth: int
    first: int
    end: int
    saved: int = 0
    """Tokens that need not be computed if the parts are divided as well as they can be."""
    cuts: list[tuple[int, int, int]] = field(default_factory=list)
    """That division: first row, row after the last, tokens of the trunk."""

    def add(self, part: _Span) -> None:
        self.end = part.end
        self.saved += part.saved
        self.cuts += part.cuts

    def settle(self, before: Sequence[int]) -> _Span:
        """Take one trunk for all rows if that saves more than the parts do."""
        rows = self.end - self.first
        own = before[self.end] - before[self.first] - rows * self.depth
        saved = (rows - 1) * self.depth
        if saved >= self.saved and self.depth * rows >= WORTH * own:
            self.saved, self.cuts = saved, [(self.first, self.end, self.depth)]
        return self


def _best_trunks(lengths: Sequence[int], shared: Sequence[int]) -> list[tuple[int, int, int]]:
    """Divide sorted rows into spans with one trunk each.

    Every beginning that rows share is a node of their prefix trie, which the common lengths of
    neighbours describe; a stack holds the nodes from the root to the present row.

    Args:
        lengths: tokens of each context.
        shared: tokens that each and the next begin with.
    """
    before = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).tolist()
    open_spans: list[_Span] = []
    done = _Span(0, 0, 0)
    for row, length in enumerate(lengths):
        depth = shared[row] if row < len(shared) else -1
        done = _Span(length - 1, row, row + 1, 0, [(row, row + 1, length - 1)])
        while open_spans and open_spans[-1].depth > depth:
            span = open_spans.pop()
            span.add(done)
            done = span.settle(before)
        if open_spans and open_spans[-1].depth == depth:
            open_spans[-1].add(done)
        elif depth >= 0:
            span = _Span(depth, done.first, done.first)
            span.add(done)
            open_spans.append(span)
    return done.cuts


def _divide(group: Group, batch_tokens: int) -> Iterator[Unit]:
    """Passes of a group that one does not hold."""
    unit: Unit = []
    rows: list[Row] = []
    used = len(group.trunk)
    for row in group.rows:
        if rows and used + len(row) > batch_tokens:
            unit.append(Pass([Group(group.trunk, rows)], is_resumed=bool(unit)))
            rows, used = [], 0
            if len(unit) == UNIT_PASSES:
                yield _linked(unit)
                unit, used = [], len(group.trunk)
        rows.append(row)
        used += len(row)
    unit.append(Pass([Group(group.trunk, rows)], is_resumed=bool(unit)))
    yield _linked(unit)


def _linked(unit: Unit) -> Unit:
    for one in unit[:-1]:
        one.is_continued = True
    return unit


def _gather(groups: Sequence[Group], batch_tokens: int) -> Iterator[Pass]:
    """Passes of as many whole groups as they hold."""
    members: list[Group] = []
    used = 0
    for group in groups:
        if members and used + len(group) > batch_tokens:
            yield Pass(members)
            members, used = [], 0
        members.append(group)
        used += len(group)
    if members:
        yield Pass(members)
