"""Records of a source as examples to train on, or the reasons why they cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from pacos.data.chunk import Chunk, Records
from pacos.data.example import Example, RowError
from pacos.data.reading.fields import refusal
from pacos.data.reading.trees import conversations, is_tree_message
from pacos.data.rows import RowReader, row_id
from pacos.data.source_config import Tree
from pacos.data.sources import Source
from pacos.errors import UserError

TREE_ROWS = 1000
"""Conversations per chunk of a source of trees."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be used."""

    number: int
    """Number of the record in its source."""
    id: str | None
    """The row's own id, or None."""
    reason: str
    """Why not, and what to do."""

    def error(self, source: Source) -> UserError:
        """Return the error that ends a run."""
        return UserError(
            f"{source.place(self.number)}: {self.reason} (data.on_error=quarantine leaves such "
            "rows out)"
        )


def conversation_chunks(source: Source, tree: Tree) -> Iterator[Chunk]:
    """Yield the chunks of a source; trees of messages are turned into conversations.

    Raises:
        UserError: the source cannot be read.
    """
    chunks = source.chunks()
    first = next(chunks, None)
    if first is None:
        return
    chunks = chain([first], chunks)
    # The first record that can be read tells whether the source is made of trees.
    head = (record for _, record in first.records() if not isinstance(record, RowError))
    if not is_tree_message(next(head, None)):
        yield from chunks
        return
    records = chain.from_iterable(chunk.records() for chunk in chunks)
    rows = conversations(records, tree)
    while part := list(islice(rows, TREE_ROWS)):
        yield Records(part, filled=first.filled)


def examples(chunk: Chunk, reader: RowReader) -> Iterator[tuple[int, Example] | Refusal]:
    """Read the records of a chunk; yield each with its number, or the reason against it."""
    for number, record in chunk.records():
        if not isinstance(record, Mapping):
            fault, remedy = "is no object with columns", 'write {"instruction": …, "output": …}'
            error = refusal("row", record, fault, remedy)
            yield Refusal(number, None, str(record if isinstance(record, RowError) else error))
            continue
        try:
            yield number, reader.read(record, filled=chunk.filled)
        except RowError as error:
            yield Refusal(number, row_id(record), str(error))
