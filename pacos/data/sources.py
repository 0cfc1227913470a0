"""Data sets on disk and on the hub: their records in chunks, and a digest of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from pacos.data.chunk import Chunk, Numbered, Part
from pacos.data.digests import digest_of
from pacos.data.hub import downloaded
from pacos.data.json_rows import Form, JsonForm, json_chunks, json_form
from pacos.data.location import Location, SourceKind, cut_bounds, locate
from pacos.data.tables import readable, table_chunks, table_of
from pacos.errors import UserError
from pacos.files import read_json

SHARD_BITS = 40
"""A record's number is its line or row in its shard, plus the shard's index shifted by this. So the
place of a record is known without the number of rows in the shards before it."""


@dataclass(frozen=True)
class Source:
    """One data set."""

    path: str
    """The path as written in the config."""
    location: Location
    """Its files."""

    @property
    def files(self) -> list[Path]:
        """Files that its rows are read from."""
        if self.location.kind is not SourceKind.saved:
            return list(self.location.files)
        (folder,) = self.location.files
        names = [entry["filename"] for entry in read_json(folder / "state.json")["_data_files"]]
        return [folder / name for name in names]

    def digest(self) -> str:
        """Return a SHA-256 over the digests of its files, in hex."""
        location = self.location
        # The kind too: the same bytes mean different rows as .csv and as .tsv.
        parts = [*map(digest_of, self.files), location.kind.name, location.cut or ""]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def place(self, number: int) -> str:
        """Return the place of a record for a person: file and line, if the file has lines."""
        shard, row = divmod(number, 1 << SHARD_BITS)
        file = self.location.files[shard]
        # The path of a hub's file in the cache would tell nobody anything.
        name = f"{self.path}, {file.name}" if self.location.on_hub else str(file)
        has_lines = self.location.kind is SourceKind.json and self._forms[file].form is Form.lines
        return f"{name}:{row}" if has_lines else f"{name}, row {row}"

    @property
    def notes(self) -> list[str]:
        """Parts of its files that are not read, one sentence for each."""
        notes = [*self.location.notes]
        if self.location.kind is SourceKind.json:
            for file, form in self._forms.items():
                if form.others:
                    keys = ", ".join(form.others)
                    notes.append(f"{file}: its rows are the list {form.key}; not read: {keys}")
        return notes

    def chunks(self) -> Iterator[Chunk]:
        """Yield all records, in order, in pieces that can be sent to another process.

        Raises:
            UserError: the source as a whole cannot be read.
        """
        if self.location.cut is None:
            return self._all_chunks()
        return self._cut_chunks(self.location.cut)

    def records(self) -> Numbered:
        """Return all records with their numbers, in order.

        Raises:
            UserError: the source as a whole cannot be read.
        """
        return chain.from_iterable(chunk.records() for chunk in self.chunks())

    def count(self) -> int:
        """Return the number of records."""
        return sum(chunk.count() for chunk in self.chunks())

    def _all_chunks(self) -> Iterator[Chunk]:
        kind = self.location.kind
        for shard, file in enumerate(self.location.files):
            base = shard << SHARD_BITS
            if kind is SourceKind.json:
                yield from json_chunks(file, self._forms[file], base)
            elif kind is SourceKind.saved:
                yield from table_chunks(_saved_table(self.path, file), base)
            else:
                yield from table_chunks(table_of(file, kind), base)

    def _cut_chunks(self, cut: str) -> Iterator[Chunk]:
        total = sum(chunk.count() for chunk in self._all_chunks())
        begin, end = cut_bounds(cut, total)
        before = 0
        for chunk in self._all_chunks():
            if before >= end:
                return
            count = chunk.count()
            first, last = max(begin - before, 0), min(end - before, count)
            if first < last:
                yield chunk if last - first == count else Part(chunk, first, last)
            before += count

    @cached_property
    def _forms(self) -> dict[Path, JsonForm]:
        return {file: json_form(file) for file in self.location.files}


def open_source(path: str, key: str = "data.path, data.mix") -> Source:
    """Open a data set; one on the hub is downloaded if it is not in the cache.

    Args:
        path: as written in the config.
        key: of the config that has the path, for messages.

    Raises:
        UserError: it does not exist, or cannot be read.
    """
    try:
        location = locate(path)
        if location.kind is SourceKind.hub:
            location = downloaded(path, location)
    except UserError as error:
        raise UserError(f"{key} = {path}: {error}") from error
    return Source(path, location)


def _saved_table(path: str, folder: Path) -> Any:
    import datasets

    try:
        with readable(path, "a folder that datasets saved"):
            return datasets.load_from_disk(str(folder), keep_in_memory=False)
    except IndexError as error:
        # `datasets` cannot load a data set without rows that it saved itself.
        raise UserError(f"{path}: holds no rows; give a data set with rows") from error
