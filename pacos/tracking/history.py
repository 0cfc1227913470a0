"""metrics.jsonl over all lives of a run: one history, no step doubled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pacos.files import append_jsonl, read_json, read_jsonl, write_json, write_jsonl
from pacos.tracking import metrics


def cut_after(path: Path, step: int) -> None:
    """Move lines of steps after `step` to metrics.cut.jsonl: these steps will be made again.

    A kill at any instant neither loses nor doubles a line. Before the lines are copied, the sizes
    of both files are noted. While the first still has its size, its lines have not been taken out,
    and what the other has grown by since is a copy that the next call makes again.
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
    """The newest record, None where there is none."""
    records = list(read_jsonl(path))
    return records[-1] if records else None
