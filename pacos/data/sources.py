"""Data sets on disk and on the hub: their records one by one, and a digest of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.data.json_rows import Numbered, is_list, read_lines, read_list
from pacos.data.location import REMEDY, Location, SourceKind, locate
from pacos.errors import UserError, first_line
from pacos.files import sha256

ROWS_AT_ONCE = 1000
"""Table rows to convert to Python objects at a time, which bounds the memory for any size."""


@dataclass(frozen=True, slots=True)
class Source:
    """One data set."""

    path: str
    """The path as written in the config."""
    location: Location
    table: Any = None
    """The `datasets.Dataset`, for a saved data set or one from the hub."""

    @property
    def files(self) -> list[Path]:
        """Files that its rows are read from."""
        if self.table is None:
            return [self.location.path]
        return [Path(file["filename"]) for file in self.table.cache_files]

    def digest(self) -> str:
        """Return a SHA-256 over the digests of its files, in hex."""
        return hashlib.sha256("".join(map(sha256, self.files)).encode()).hexdigest()

    def place(self, number: int) -> str:
        """Return the place of a record for a person: file and line, if the file has lines."""
        if self.location.kind is SourceKind.json and not is_list(self.location.path):
            return f"{self.location.path}:{number}"
        return f"{self.location.path}, row {number}"

    def records(self) -> Numbered:
        """Return all records with their numbers, from 1.

        Raises:
            UserError: the source as a whole cannot be read.
        """
        path = self.location.path
        if self.table is not None:
            return enumerate(_rows(self.table.with_format("arrow").iter(ROWS_AT_ONCE)), start=1)
        if self.location.kind is SourceKind.parquet:
            return enumerate(_parquet_rows(path), start=1)
        return read_list(path) if is_list(path) else read_lines(path)


def open_source(path: str) -> Source:
    """Open a data set. One that is saved or on the hub is loaded, memory-mapped.

    Raises:
        UserError: it does not exist, or cannot be read.
    """
    try:
        location = locate(path)
    except UserError as error:
        raise UserError(f"data.path, data.mix = {path}: {error}; {REMEDY}") from error
    if location.kind in (SourceKind.saved, SourceKind.hub):
        return Source(path, location, _load_table(path, location))
    return Source(path, location)


def _load_table(path: str, location: Location) -> Any:
    import datasets

    datasets.disable_progress_bars()
    try:
        if location.kind is SourceKind.saved:
            table: Any = datasets.load_from_disk(str(location.path), keep_in_memory=False)
        else:
            name, revision = str(location.path), location.revision
            table = datasets.load_dataset(
                name, revision=revision, split="train", keep_in_memory=False
            )
    except IndexError as error:
        # `datasets` cannot load a data set without rows that it saved itself.
        raise UserError(f"{path}: holds no rows; give a data set with rows") from error
    except (OSError, ValueError, RuntimeError) as error:
        remedy = REMEDY
        if location.kind is SourceKind.hub:
            remedy = f"on a machine with a network, run: pacos prefetch data.path={path}"
        raise UserError(
            f"data.path, data.mix = {path}: cannot be loaded: {first_line(error)}; {remedy}"
        ) from error
    if isinstance(table, datasets.DatasetDict):
        if "train" not in table:
            splits = ", ".join(table)
            raise UserError(
                f"data.path, data.mix = {path}: has no split train, only {splits}; give the folder "
                "of one of them"
            )
        table = table["train"]
    return table


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException, parquet

    try:
        yield from _rows(parquet.ParquetFile(path).iter_batches(ROWS_AT_ONCE))
    except (ArrowException, OSError) as error:
        raise UserError(
            f"{path}: cannot be read as Parquet: {first_line(error)}; was its copy cut off?"
        ) from error


def _rows(tables: Iterator[Any]) -> Iterator[dict[str, Any]]:
    for table in tables:
        yield from table.to_pylist()
