"""The usable rows of one source, one by one; the others are quarantined or end the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from pacos.data.example import RowError
from pacos.data.rows import READERS, Example, Reader, read_example, reader_for
from pacos.data.sources import Source
from pacos.errors import UserError
from sft.configs.data import OnError

HEAD = 100
"""Rows whose columns together decide the schema, so that one bad row at the beginning does not."""


class SourceReader:
    """Reads the rows of one source, once."""

    def __init__(self, source: Source, on_error: OnError) -> None:
        self._source = source
        self._on_error = on_error
        self.quarantined: list[dict[str, Any]] = []
        """Number, id and reason of each row that cannot be used."""

    def examples(self) -> Iterator[tuple[int, Example]]:
        """Yield each conversation with the number of its record in the source.

        Raises:
            UserError: the source cannot be read, its columns match no known schema, or a row is
                unusable and `on_error` is `refuse`.
        """
        records = self._source.records()
        head = list(itertools.islice(records, HEAD))
        readable = [record for _, record in head if isinstance(record, dict)]
        reader = self._reader_of(readable) if readable else None
        for number, record in itertools.chain(head, records):
            if not isinstance(record, dict):
                reason = f"{type(record).__name__}, not an object with columns"
                self.refuse(number, None, record if isinstance(record, RowError) else reason)
                continue
            # Without one readable row in the head, the first readable row decides.
            reader = reader or self._reader_of([record])
            try:
                example = read_example(record, reader)
            except RowError as error:
                self.refuse(number, record.get("id"), error)
            else:
                yield number, example

    def refuse(self, number: int, row_id: object, reason: RowError | str) -> None:
        """Quarantine a row, or end the run.

        Args:
            number: of the record in the source.
            row_id: the row's own id, if it has one.
            reason: shown to the user.

        Raises:
            UserError: `on_error` is `refuse`.
        """
        if self._on_error is OnError.refuse:
            raise UserError(
                f"{self._source.place(number)}: {reason}; fix the row, or set "
                "data.on_error=quarantine to leave such rows out"
            )
        self.quarantined.append({"number": number, "id": row_id, "reason": str(reason)})

    def _reader_of(self, records: Sequence[dict[str, Any]]) -> Reader:
        columns = dict.fromkeys(str(column) for record in records for column in record)
        reader = reader_for(columns.keys())
        if reader is None:
            known = "; or ".join(" and ".join(needed) for needed in READERS)
            raise UserError(
                f"{self._source.path}: has the columns {', '.join(columns) or 'none'}, which match "
                f"no known schema; rename them to one of: {known}"
            )
        return reader
