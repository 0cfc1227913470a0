"""metrics.jsonl over all lives of a run: one history, no step doubled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pacos import metrics
from pacos.files import append_jsonl, read_jsonl, write_jsonl


def cut_after(path: Path, step: int) -> None:
    """Move lines of steps after `step` to metrics.cut.jsonl: these steps will be made again."""
    records = list(read_jsonl(path))
    kept = [record for record in records if record[metrics.STEP] <= step]
    if len(kept) < len(records):
        append_jsonl(path.with_suffix(".cut.jsonl"), records[len(kept) :])
        write_jsonl(path, kept)


def last_record(path: Path) -> dict[str, Any] | None:
    """The newest record, None where there is none."""
    records = list(read_jsonl(path))
    return records[-1] if records else None
