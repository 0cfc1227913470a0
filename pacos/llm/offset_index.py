"""Where in a file the record of a key is, for millions of keys in little memory."""

from __future__ import annotations

from array import array

FIRST_SLOTS = 1024
FULLEST = 0.6
"""Share of slots in use above which the table doubles; a search then takes 2 probes on average."""


class OffsetIndex:
    """Offsets under the first 64 bits of hexadecimal keys: open addressing in two flat arrays.

    A million keys take 32 MiB, a fifth of what a dict of Python's integers takes. Two keys with the
    same 64 bits share an entry (chance 3·10⁻⁸ among a million keys), so whoever reads the record
    compares the whole key.
    """

    def __init__(self) -> None:
        self._count = 0
        self._allot(FIRST_SLOTS)

    def _allot(self, slots: int) -> None:
        self._mask = slots - 1
        self._marks = array("Q", bytes(8 * slots))
        self._offsets = array("Q", bytes(8 * slots))  # 0 is an empty slot, else offset + 1

    def __len__(self) -> int:
        return self._count

    def put(self, key: str, offset: int) -> None:
        """Set the offset of a key."""
        if self._count >= FULLEST * (self._mask + 1):
            self._grow()
        self._put(int(key[:16], 16), offset + 1)

    def get(self, key: str) -> int | None:
        """The offset of a key, None for a key that was never put."""
        stored = self._offsets[self._slot(int(key[:16], 16))]
        return stored - 1 if stored else None

    def _put(self, mark: int, stored: int) -> None:
        slot = self._slot(mark)
        self._count += not self._offsets[slot]
        self._marks[slot], self._offsets[slot] = mark, stored

    def _slot(self, mark: int) -> int:
        """The slot of a mark, or the empty one where it belongs."""
        slot = mark & self._mask
        while self._offsets[slot] and self._marks[slot] != mark:
            slot = (slot + 1) & self._mask
        return slot

    def _grow(self) -> None:
        marks, offsets = self._marks, self._offsets
        self._count = 0
        self._allot(2 * (self._mask + 1))
        for mark, stored in zip(marks, offsets, strict=True):
            if stored:
                self._put(mark, stored)
