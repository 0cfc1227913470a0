"""Nodes that were the first to end several lives of a run."""

from __future__ import annotations

from collections import Counter

from pacos.files import read_jsonl
from pacos.run_paths import RunPaths

BLAMED_LIVES = 2
"""Lives that a node was the first to end after which the run's next job leaves it out."""


def blamed_nodes(run: RunPaths) -> list[str]:
    """Nodes that were the first to end several lives of a run."""
    counts = Counter(record["node"] for record in read_jsonl(run.attempts) if "node" in record)
    return sorted(node for node, count in counts.items() if count >= BLAMED_LIVES)
