"""What a launcher tells its processes. Free of torch."""

from __future__ import annotations

import os

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


def is_rank() -> bool:
    """Whether a launcher started this process as one of its ranks."""
    return all(name in os.environ for name in RANK_VARIABLES)
