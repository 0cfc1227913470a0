"""Random seeds derived from the run's seed and an item's name, never from process state."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *parts: object) -> int:
    """Return the seed of one item, named by `parts`: the same in every life and on every rank.

    A 63-bit value, because torch and numpy take signed 64-bit seeds.
    """
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
