"""Location of a data set, as far as its path and the names of its files tell. Free of torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pacos.data.layout import (
    Layout,
    LocationError,
    choose,
    is_saved,
    kind_of,
    layout_of,
    missing_shards,
    saved_splits,
)
from pacos.run_paths import DataPaths, RunPaths

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

PATH_FORM = re.compile(
    r"(?P<root>.+?)(:(?P<choice>[^:\[\]@]+)(?P<cut>\[[^\[\]]*\])?)?(@(?P<revision>[^:\[\]@]+))?"
)
"""PATH[:SUBSET/SPLIT[SLICE]][@REVISION]"""

MOST_NAMES = 5
"""Files that a note lists."""

CUT = re.compile(r"\[(-?\d+%?)?:(-?\d+%?)?\]")
"""A slice as the datasets library writes it: [:1000], [10%:20%], [-100:]."""


class SourceKind(Enum):
    """The form of a data set."""

    json = "json"
    """JSON text: an object per line, a list of objects, or an object around such a list."""
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"
    arrow = "arrow"
    saved = "saved"
    """A folder written by `Dataset.save_to_disk`."""
    hub = "hub"


@dataclass(frozen=True, slots=True)
class Location:
    """Location of one data set."""

    kind: SourceKind
    path: Path
    """The file or folder; for the hub, the id."""
    files: tuple[Path, ...] = ()
    """The shards of the chosen split, in order; the folder itself if `datasets` saved it. Empty for
    the hub, whose files are not known here."""
    choice: str | None = None
    """SUBSET/SPLIT, SUBSET or SPLIT, as the path names it."""
    cut: str | None = None
    """Slice of the split: [:1000]."""
    revision: str | None = None
    """Commit, tag or branch on the hub. None takes the newest."""
    on_hub: bool = False
    """True for data from the hub, also once its files are known."""
    notes: tuple[str, ...] = ()
    """Files that are not read, to be named once."""


def locate(path: str) -> Location:
    """Resolve a data path.

    A path that exists wins over everything else that its text may mean.

    Raises:
        LocationError: pacos cannot read the path.
    """
    if not path:
        raise LocationError("is empty")
    if Path(path).expanduser().exists():
        return _local(Path(path).expanduser(), None, None)
    match = PATH_FORM.fullmatch(path)
    if match is None:
        raise LocationError(f"no {path}")
    root, choice, cut, revision = match.group("root", "choice", "cut", "revision")
    if cut is not None and not CUT.fullmatch(cut):
        raise LocationError(f"{cut} is no slice", "write [:1000] or [10%:20%]")
    file = Path(root).expanduser()
    if file.exists():
        if revision is not None:
            fault = f"@{revision} is a revision, which only data sets on the hub have"
            raise LocationError(fault, "leave it out")
        return _local(file, choice, cut)
    # `data/rows.jsonl` looks like a hub id, but means a file that is missing.
    if HUB_ID.fullmatch(root) is None or kind_of(file) is not None:
        raise LocationError(f"no {file}")
    kind, name = SourceKind.hub, Path(root)
    return Location(kind, name, choice=choice, cut=cut, revision=revision, on_hub=True)


def _local(path: Path, choice: str | None, cut: str | None) -> Location:
    rows = DataPaths(RunPaths(path).data).rows
    if rows.is_file():
        return Location(SourceKind.json, rows, _chosen(Layout.single(rows), choice), choice, cut)
    if path.is_file():
        name = kind_of(path)
        if name is None:
            raise LocationError(
                f"{path.suffix or 'no suffix'} does not tell the format of its rows"
            )
        files = _chosen(Layout.single(path), choice)
        return Location(SourceKind(name), path, files, choice, cut)
    if is_saved(path):
        layout = saved_splits(path)
        notes = _unread(path, layout, choice)
        files = _chosen(layout, choice)
        return Location(SourceKind.saved, path, files, choice, cut, notes=notes)
    layout = layout_of(path)
    if not layout.subsets:
        raise LocationError(f"no {rows}, no data set that datasets saved, and no file with rows")
    files = _chosen(layout, choice)
    kinds = {kind_of(file) or "": file for file in reversed(files)}
    if len(kinds) > 1:
        names = " and ".join(sorted(str(file.relative_to(path)) for file in kinds.values()))
        raise LocationError(
            f"holds files of several kinds, such as {names}",
            "give one file, or a folder of one kind",
        )
    (name,) = kinds
    if not name:
        raise LocationError(f"{files[0].name}: its suffix does not tell the format of its rows")
    notes = (*layout.notes, *_unread(path, layout, choice))
    if missing := missing_shards(files):
        notes = (*notes, f"{path}: shards are missing: {', '.join(missing[:MOST_NAMES])}")
    return Location(SourceKind(name), path, files, choice, cut, notes=notes)


def _chosen(layout: Layout, choice: str | None) -> tuple[Path, ...]:
    subset, split = choose(
        choice, list(layout.subsets), layout.default, lambda subset: list(layout.subsets[subset])
    )
    return layout.subsets[subset][split]


def _unread(path: Path, layout: Layout, choice: str | None) -> tuple[str, ...]:
    """Return a note about the splits and subsets that a path without a choice does not take."""
    if choice is not None or layout.default is None:
        return ()
    splits = [name for name in layout.subsets[layout.default] if name != "train"]
    subsets = [name for name in layout.subsets if name != layout.default]
    if not splits and not subsets:
        return ()
    names = ", ".join([*splits, *(f"{subset}/…" for subset in subsets)])
    return (f"{path}: its split train is read; not read: {names} (PATH:SPLIT takes one)",)


def cut_bounds(cut: str, rows: int) -> tuple[int, int]:
    """Return the first row of a slice, from 0, and the one behind its last."""
    match = CUT.fullmatch(cut)
    assert match is not None, "locate checks it"
    begin, end = match.groups()
    return _boundary(begin or "0", rows), _boundary(end or str(rows), rows)


def _boundary(text: str, rows: int) -> int:
    number = int(text.removesuffix("%"))
    # Rounded to the closest row, as `datasets` does.
    at = round(number * rows / 100) if text.endswith("%") else number
    return min(max(at if at >= 0 else rows + at, 0), rows)
