"""Pieces of a source, decoded in the process that needs their records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from pacos.data.encoding import ROW_DECODER, RepeatedKeyError
from pacos.data.example import RowError

Numbered = Iterator[tuple[int, Any]]
"""Pairs of a record's number in its source and the record, or a RowError in its place."""


class Chunk(Protocol):
    """Consecutive records, still encoded, so that pickling them costs little."""

    @property
    def filled(self) -> bool:
        """True if a table filled absent keys of objects with null."""
        ...

    def records(self) -> Numbered:
        """Decode the records."""
        ...

    def count(self) -> int:
        """Return the number of records."""
        ...


@dataclass(frozen=True, slots=True)
class Records:
    """Records that are decoded already."""

    items: Sequence[tuple[int, Any]]
    filled: bool = False

    def records(self) -> Numbered:
        return iter(self.items)

    def count(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Part:
    """Some records of a chunk: where a slice begins or ends."""

    chunk: Chunk
    begin: int
    end: int

    @property
    def filled(self) -> bool:
        return self.chunk.filled

    def records(self) -> Numbered:
        return islice(self.chunk.records(), self.begin, self.end)

    def count(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class TableChunk:
    """Rows of a table, as an Arrow stream."""

    first: int
    """Number of the first record."""
    rows: int
    data: bytes
    filled: bool = True

    @classmethod
    def of(cls, first: int, table: Any) -> TableChunk:
        """Return the rows of a pyarrow table or record batch."""
        import pyarrow

        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write(table)
        return cls(first, table.num_rows, sink.getvalue().to_pybytes())

    def records(self) -> Numbered:
        import pyarrow

        with pyarrow.ipc.open_stream(self.data) as stream:
            rows = stream.read_all().to_pylist()
        return enumerate(rows, start=self.first)

    def count(self) -> int:
        return self.rows


@dataclass(frozen=True, slots=True)
class ElementChunk:
    """Consecutive elements of a JSON list, with a comma and nothing else between them."""

    first: int
    """Number of the first record."""
    rows: int
    text: str
    filled: bool = False

    def records(self) -> Numbered:
        text = f"[{self.text}]"
        try:
            return enumerate(ROW_DECODER.decode(text), start=self.first)
        except RepeatedKeyError:
            return enumerate(_elements(text), start=self.first)

    def count(self) -> int:
        return self.rows


def _elements(text: str) -> Iterator[Any]:
    """Yield each element of a list in JSON; for one with a repeated key, a RowError."""
    decoder = json.JSONDecoder()
    at = 1
    while at < len(text):
        _, end = decoder.raw_decode(text, at)
        try:
            yield ROW_DECODER.decode(text[at:end])
        except RepeatedKeyError as error:
            yield RowError(str(error))
        # Behind the comma, or the bracket that ends the list.
        at = end + 1
