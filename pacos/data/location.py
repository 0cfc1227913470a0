"""Where a data path leads, as far as names and files tell. Free of torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pacos.errors import UserError

REMEDY = (
    "give a finished run of pacos selfinstruct, a JSON, JSONL or Parquet file, a folder that "
    "datasets saved, or a hub id owner/name"
)

HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")


class Kind(Enum):
    """What a data path leads to."""

    json = "json"
    parquet = "parquet"
    saved = "saved"
    """A folder written by `save_to_disk` of the library datasets."""
    hub = "hub"


SUFFIXES = {
    ".json": Kind.json,
    ".jsonl": Kind.json,
    ".ndjson": Kind.json,
    ".parquet": Kind.parquet,
}


@dataclass(frozen=True, slots=True)
class Location:
    """Where a data path leads, as far as names and files tell."""

    kind: Kind
    path: Path
    """The file or folder; of the hub, the id."""
    revision: str | None = None
    """Of the hub: commit, tag or branch; None takes the newest."""


def locate(path: str) -> Location:
    """Find out what a data path means.

    Raises:
        UserError: nothing that pacos could read; only what is wrong is said.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        rows = file / "data" / "data.jsonl"
        if rows.is_file():
            return Location(Kind.json, rows)
        if any((file / name).is_file() for name in ("state.json", "dataset_dict.json")):
            return Location(Kind.saved, file)
        raise UserError(f"no {rows}, and no data set that datasets saved")
    kind = SUFFIXES.get(file.suffix)
    if file.is_file():
        if kind is None:
            raise UserError(f"{file.suffix or 'no suffix'} does not tell the format of its rows")
        return Location(kind, file)
    found = HUB_ID.fullmatch(path)
    if found is None or kind is not None:
        raise UserError(f"no {file}")
    return Location(Kind.hub, Path(found["id"]), found["revision"])
