"""An index from keys to file offsets that holds millions of keys in little memory."""

from __future__ import annotations

from array import array

FIRST_SLOTS = 1024
"""A power of two, so that a mask replaces the modulo."""
FULLEST = 0.6
"""Share of used slots above which the table doubles. A lookup then takes 2 probes on average."""


class OffsetIndex:
    """A hash table from the first 64 bits of hexadecimal keys to offsets, with open addressing.

    A million keys take 32 MiB in two flat arrays, a fifth of a dict of Python integers. Two keys
    with the same 64 bits share an entry (chance 3·10⁻⁸ among a million keys), so the reader of a
    record must compare the whole key.
    """

    def __init__(self) -> None:
        self._count = 0
        self._allocate(FIRST_SLOTS)

    def _allocate(self, slots: int) -> None:
        self._mask = slots - 1
        self._marks = array("Q", bytes(8 * slots))
        # 0 marks an empty slot, so offsets are stored plus 1.
        self._offsets = array("Q", bytes(8 * slots))

    def __len__(self) -> int:
        return self._count

    def put(self, key: str, offset: int) -> None:
        """Set the offset of a key."""
        if self._count >= FULLEST * (self._mask + 1):
            self._grow()
        self._put(int(key[:16], 16), offset + 1)

    def get(self, key: str) -> int | None:
        """Return the offset of a key; None if it was never put."""
        stored = self._offsets[self._slot(int(key[:16], 16))]
        return stored - 1 if stored else None

    def _put(self, mark: int, stored: int) -> None:
        slot = self._slot(mark)
        self._count += not self._offsets[slot]
        self._marks[slot], self._offsets[slot] = mark, stored

    def _slot(self, mark: int) -> int:
        """Return the slot of a mark, or the empty slot where it belongs."""
        # Keys are SHA-256 digests: their low bits are uniform and need no further hash.
        slot = mark & self._mask
        while self._offsets[slot] and self._marks[slot] != mark:
            slot = (slot + 1) & self._mask
        return slot

    def _grow(self) -> None:
        marks, offsets = self._marks, self._offsets
        self._count = 0
        self._allocate(2 * (self._mask + 1))
        for mark, stored in zip(marks, offsets, strict=True):
            if stored:
                self._put(mark, stored)
