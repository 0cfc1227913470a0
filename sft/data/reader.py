"""The usable rows of one source, one by one; the others are quarantined or end the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pacos.data.example import Example, RowError
from pacos.data.rows import RowReader
from pacos.data.source_config import SourceConfig
from pacos.data.sources import Source
from pacos.errors import UserError
from sft.configs.data import OnError


class SourceReader:
    """Reads the rows of one source, once."""

    def __init__(self, source: Source, on_error: OnError) -> None:
        self._source = source
        self._on_error = on_error
        self._reader = RowReader.of(SourceConfig(path=source.path))
        self.quarantined: list[dict[str, Any]] = []
        """Number, id and reason of each row that cannot be used."""

    def examples(self) -> Iterator[tuple[int, Example]]:
        """Yield each conversation with the number of its record in the source.

        Raises:
            UserError: the source cannot be read, or a row is unusable and `on_error` is `refuse`.
        """
        for number, record, filled in (
            (*numbered, chunk.filled)
            for chunk in self._source.chunks()
            for numbered in chunk.records()
        ):
            if not isinstance(record, dict):
                reason = f"{type(record).__name__}, not an object with columns"
                self.refuse(number, None, record if isinstance(record, RowError) else reason)
                continue
            try:
                example = self._reader.read(record, filled=filled)
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
