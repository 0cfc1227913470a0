"""Location of a data set, as far as its path and the files tell. Free of torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pacos.errors import UserError
from pacos.run_paths import DataPaths, RunPaths

REMEDY = (
    "give a finished run of pacos selfinstruct, a JSON, JSONL or Parquet file, a folder that "
    "datasets saved, or a hub id owner/name"
)

HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")


class SourceKind(Enum):
    """The form of a data set."""

    json = "json"
    parquet = "parquet"
    saved = "saved"
    """A folder written by `Dataset.save_to_disk`."""
    hub = "hub"


SUFFIXES = {
    ".json": SourceKind.json,
    ".jsonl": SourceKind.json,
    ".ndjson": SourceKind.json,
    ".parquet": SourceKind.parquet,
}


@dataclass(frozen=True, slots=True)
class Location:
    """Location of one data set."""

    kind: SourceKind
    path: Path
    """The file or folder; for the hub, the id."""
    revision: str | None = None
    """Commit, tag or branch on the hub. None takes the newest."""


def locate(path: str) -> Location:
    """Resolve a data path.

    A path that exists wins over a hub id with the same text.

    Raises:
        UserError: pacos cannot read the path. The message says why, without the path and remedy.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        rows = DataPaths(RunPaths(file).data).rows
        if rows.is_file():
            return Location(SourceKind.json, rows)
        if any((file / name).is_file() for name in ("state.json", "dataset_dict.json")):
            return Location(SourceKind.saved, file)
        raise UserError(f"no {rows}, and no data set that datasets saved")
    kind = SUFFIXES.get(file.suffix)
    if file.is_file():
        if kind is None:
            raise UserError(f"{file.suffix or 'no suffix'} does not tell the format of its rows")
        return Location(kind, file)
    match = HUB_ID.fullmatch(path)
    # `data/rows.jsonl` looks like a hub id, but means a file that is missing.
    if match is None or kind is not None:
        raise UserError(f"no {file}")
    return Location(SourceKind.hub, Path(match["id"]), match["revision"])
