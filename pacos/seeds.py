"""Random seeds derived from the run's seed and an item's name, never from process state."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *parts: object) -> int:
    """A seed for one item, from the run's seed and what names the item; the same in every life."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
