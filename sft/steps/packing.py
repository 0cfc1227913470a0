"""Bin packing of rows into packs: best-fit decreasing over the whole corpus."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pacos.division import ceil_div

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packs:
    """Lists of rows, stored end to end."""

    rows: Ints
    """[rows]: pack after pack, the longest row of each pack first."""
    starts: Ints
    """[packs + 1]: the index into `rows` at which each pack begins, then the number of rows."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, pack: int) -> Ints:
        return self.rows[self.starts[pack] : self.starts[pack + 1]]

    def sums(self, values: NDArray[np.float64] | Ints) -> NDArray[np.float64]:
        """Return [packs]: the sum of a per-row value over the rows of each pack."""
        return np.add.reduceat(values[self.rows], self.starts[:-1], dtype=np.float64)


def pack_rows(lengths: Ints, capacity: int) -> Packs:
    """Pack rows best-fit decreasing: each, longest first, goes into the fullest pack with room.

    Among equally full packs the oldest takes the row. Rows of one length are placed together: the
    fullest pack with room for one is filled with them until none fits, then the next fullest, and
    so on. Work thus grows with the number of distinct lengths instead of the number of rows.

    Args:
        lengths: [rows]: tokens of each row, from 1 to `capacity`.
        capacity: tokens that a pack can hold.
    """
    # Stable, so that every machine packs the same way: ranks compute the packs independently.
    order = np.argsort(-lengths, kind="stable")
    pack_of = np.empty(len(lengths), dtype=np.int64)
    """[rows], longest first: the pack of each row."""
    open_packs = _OpenPacks(capacity)
    sizes, firsts = np.unique(-lengths[order], return_index=True)
    ends = [*firsts[1:], len(order)]
    for size, first, end in zip(-sizes, firsts, ends, strict=True):
        placed = int(first)
        while placed < end:
            packs = open_packs.place(int(size), int(end) - placed)
            pack_of[placed : placed + len(packs)] = packs
            placed += len(packs)
    rows = order[np.argsort(pack_of, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(pack_of, minlength=open_packs.count))])
    return Packs(rows, starts)


class _OpenPacks:
    """The packs that have room left, by their free tokens."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rooms: list[int] = []
        """The distinct numbers of free tokens, ascending."""
        self._packs: dict[int, list[Ints]] = {}
        """Free tokens to the packs that have so many."""
        self.count = 0

    def place(self, size: int, rows: int) -> Ints:
        """Place up to `rows` rows of `size` tokens into the fullest packs that have room.

        Returns:
            The pack of each row that was placed; at least one.
        """
        index = bisect_left(self._rooms, size)
        if index < len(self._rooms):
            room = self._rooms.pop(index)
            # The oldest first. They were put back in several batches.
            packs = np.sort(np.concatenate(self._packs.pop(room)))
        else:
            room = self._capacity
            opened = ceil_div(rows, room // size)
            packs = np.arange(self.count, self.count + opened)
            self.count += opened
        per_pack = room // size
        filled, rest = divmod(min(rows, per_pack * len(packs)), per_pack)
        self._put_back(packs[:filled], room - per_pack * size)
        if rest:
            self._put_back(packs[filled : filled + 1], room - rest * size)
        self._put_back(packs[filled + bool(rest) :], room)
        return np.repeat(packs[: filled + bool(rest)], per_pack)[: filled * per_pack + rest]

    def _put_back(self, packs: Ints, room: int) -> None:
        if room == 0 or not len(packs):
            return
        if room not in self._packs:
            insort(self._rooms, room)
            self._packs[room] = []
        self._packs[room].append(packs)
