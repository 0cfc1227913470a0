"""metrics.jsonl over all lives of a run: one history in which each step appears once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pacos.files import append_jsonl, read_json, read_jsonl, write_json, write_jsonl
from pacos.tracking import metrics


def cut_after(path: Path, step: int) -> None:
    """Move the lines of steps after `step` to metrics.cut.jsonl, because they will be done again.

    A kill at any instant neither loses nor duplicates a line. The sizes of both files are noted
    before the lines are copied. As long as the first file still has its size, its lines have not
    been removed, and whatever the other has grown by is a copy that the next call truncates and
    makes again.
    """
    cut, note = path.with_suffix(".cut.jsonl"), path.with_suffix(".cut.json")
    records = list(read_jsonl(path))
    kept = [record for record in records if record[metrics.STEP] <= step]
    if len(kept) < len(records):
        sizes = {"history": path.stat().st_size, "cut": cut.stat().st_size if cut.exists() else 0}
        noted = read_json(note) if note.exists() else {}
        if noted.get("history") != sizes["history"]:
            write_json(note, sizes)
        elif cut.exists():
            os.truncate(cut, noted["cut"])
        append_jsonl(cut, [record for record in records if record[metrics.STEP] > step])
        write_jsonl(path, kept)
    note.unlink(missing_ok=True)


def last_record(path: Path) -> dict[str, Any] | None:
    """Return the newest record, or None if there is none."""
    records = list(read_jsonl(path))
    return records[-1] if records else None
