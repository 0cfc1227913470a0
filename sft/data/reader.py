"""The rows of one source that can be used, one by one, and what becomes of the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from pacos.data.rows import READERS, Example, Reader, RowError, read_example, reader_for
from pacos.data.sources import Source
from pacos.errors import UserError
from sft.configs.data import OnError

HEAD = 100
"""Rows whose columns tell the schema: a bad row at the beginning must not decide on it."""


class Intake:
    """Reads a source once."""

    def __init__(self, source: Source, on_error: OnError) -> None:
        self._source = source
        self._on_error = on_error
        self.quarantined: list[dict[str, Any]] = []
        """Number, id and reason of rows that cannot be used."""

    def examples(self) -> Iterator[tuple[int, Example]]:
        """Conversations with the numbers of their records.

        Raises:
            UserError: the source cannot be read, its columns are of no known schema, or a row
                cannot be used and is not to be quarantined.
        """
        records = self._source.records()
        head = list(itertools.islice(records, HEAD))
        whole = [record for _, record in head if isinstance(record, dict)]
        reader = self._reader(whole) if whole else None
        for number, record in itertools.chain(head, records):
            if not isinstance(record, dict):
                what = f"{type(record).__name__}, not an object with columns"
                self.refuse(number, None, record if isinstance(record, RowError) else what)
                continue
            reader = reader or self._reader([record])
            try:
                example = read_example(record, reader)
            except RowError as error:
                self.refuse(number, record.get("id"), error)
            else:
                yield number, example

    def refuse(self, number: int, row_id: Any, reason: RowError | str) -> None:
        """Put a row into quarantine.

        Raises:
            UserError: rows that cannot be used end the run.
        """
        if self._on_error is OnError.refuse:
            raise UserError(
                f"{self._source.place(number)}: {reason}; put the row right, or leave such rows "
                "out with data.on_error=quarantine"
            )
        self.quarantined.append({"number": number, "id": row_id, "reason": str(reason)})

    def _reader(self, records: list[dict[str, Any]]) -> Reader:
        columns = dict.fromkeys(str(column) for record in records for column in record)
        reader = reader_for(columns.keys())
        if reader is None:
            known = "; or ".join(" and ".join(needed) for needed in READERS)
            raise UserError(
                f"{self._source.path}: has the columns {', '.join(columns) or 'none'}, which are "
                f"of no known schema; rename them: rows have {known}"
            )
        return reader
