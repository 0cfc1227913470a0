"""Which rows share a pack: best-fit decreasing over the whole corpus."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packs:
    """Lists of rows, end to end."""

    rows: Ints
    """[rows]: pack after pack, the longest row of each pack first."""
    starts: Ints
    """[packs + 1]: where each pack begins, and the number of rows."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, pack: int) -> Ints:
        return self.rows[self.starts[pack] : self.starts[pack + 1]]

    def sums(self, values: NDArray[np.float64] | Ints) -> NDArray[np.float64]:
        """[packs]: the sum of a value of rows over each pack's rows."""
        return np.add.reduceat(values[self.rows], self.starts[:-1], dtype=np.float64)


def pack_rows(lengths: Ints, capacity: int) -> Packs:
    """Best-fit decreasing: each row, longest first, goes into the fullest pack that it fits.

    Of packs equally full the oldest takes the row. Rows of one length are dealt with together: the
    fullest pack that one fits is filled until no other fits, then the next fullest, and packs that
    are equally full go the same way. So the work grows with the number of different lengths rather
    than of rows.

    Args:
        lengths: [rows], each from 1 to `capacity` tokens.
        capacity: tokens of a pack.
    """
    order = np.argsort(-lengths, kind="stable")
    pack_of = np.empty(len(lengths), dtype=np.int64)
    """[rows], longest first: the pack that each goes into."""
    open_packs = _OpenPacks(capacity)
    sizes, firsts = np.unique(-lengths[order], return_index=True)
    ends = [*firsts[1:], len(order)]
    for size, first, end in zip(-sizes, firsts, ends, strict=True):
        done = int(first)
        while done < end:
            took = open_packs.take(int(size), int(end) - done)
            pack_of[done : done + len(took)] = took
            done += len(took)
    rows = order[np.argsort(pack_of, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(pack_of, minlength=open_packs.count))])
    return Packs(rows, starts)


class _OpenPacks:
    """Packs that have room left, by how much."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rooms: list[int] = []
        """The rooms that some pack has, ascending."""
        self._packs: dict[int, list[Ints]] = {}
        """Room to packs that have it."""
        self.count = 0

    def take(self, size: int, rows: int) -> Ints:
        """Put up to `rows` rows of `size` tokens into the fullest packs that they fit.

        Returns:
            The pack of each row that was put away; at least one.
        """
        at = bisect_left(self._rooms, size)
        if at < len(self._rooms):
            room = self._rooms.pop(at)
            packs = np.sort(np.concatenate(self._packs.pop(room)))
        else:
            room = self._capacity
            fresh = -(-rows // (room // size))
            packs = np.arange(self.count, self.count + fresh)
            self.count += fresh
        each = room // size
        whole, rest = divmod(min(rows, each * len(packs)), each)
        self._put_back(packs[:whole], room - each * size)
        if rest:
            self._put_back(packs[whole : whole + 1], room - rest * size)
        self._put_back(packs[whole + bool(rest) :], room)
        return np.repeat(packs[: whole + bool(rest)], each)[: whole * each + rest]

    def _put_back(self, packs: Ints, room: int) -> None:
        if room == 0 or not len(packs):
            return
        if room not in self._packs:
            insort(self._rooms, room)
            self._packs[room] = []
        self._packs[room].append(packs)
