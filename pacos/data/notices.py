"""Notices about the rows of one source: columns that are not read, and changes to rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pacos.data.example import Example
from pacos.text.counted import counted

MOST_PATHS = 30
"""Paths that a message lists: rows may use their keys as values, each with new ones."""


@dataclass(slots=True)
class Count:
    """Rows with the same notice."""

    rows: int
    first: int
    """Number of the first of them."""

    def add(self, rows: int, first: int) -> None:
        self.rows += rows
        self.first = min(self.first, first)


@dataclass(slots=True)
class Notices:
    """Counts over rows that were read. Those of several processes can be merged."""

    rows: int = 0
    """All rows, with a notice or without."""
    unread: dict[str, Count] = field(default_factory=dict)
    """By path, such as `category` or `messages[].model`."""
    notes: dict[str, Count] = field(default_factory=dict)
    """By the text of the note."""

    def add(self, number: int, example: Example) -> None:
        """Count a row.

        Args:
            number: of its record in the source.
            example: the row, read.
        """
        self.rows += 1
        for path in example.unread:
            _add(self.unread, path, 1, number)
        self.add_notes(number, example)

    def add_notes(self, number: int, example: Example) -> None:
        """Count the notes of a row that is not used: they may be about its whole source."""
        for note in example.notes:
            _add(self.notes, note, 1, number)

    def merge(self, other: Notices) -> None:
        """Add the counts of other rows of the same source."""
        self.rows += other.rows
        for path, count in other.unread.items():
            _add(self.unread, path, count.rows, count.first)
        for note, count in other.notes.items():
            _add(self.notes, note, count.rows, count.first)

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "unread": {path: [count.rows, count.first] for path, count in self.unread.items()},
            "notes": {note: [count.rows, count.first] for note, count in self.notes.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Notices:
        return cls(
            rows=value["rows"],
            unread={path: Count(*count) for path, count in value["unread"].items()},
            notes={note: Count(*count) for note, count in value["notes"].items()},
        )

    def lines(self, place: Callable[[int], str]) -> list[str]:
        """Return sentences for a person, to be read after the path of the source.

        Args:
            place: returns the place of a record with a number, such as `rows.jsonl:12`.
        """
        lines = []
        if self.unread:
            shown = ", ".join(
                f"{path} ({self._shown(count, place)})"
                for path, count in islice(self.unread.items(), MOST_PATHS)
            )
            paths = ",".join(
                path if path.isidentifier() else f'"{path}"'
                for path in islice(self.unread, MOST_PATHS)
            )
            if len(self.unread) > MOST_PATHS:
                shown += f" and {len(self.unread) - MOST_PATHS:,} more"
                paths += ",…"
            lines.append(
                f"not read: {shown}; give them a meaning with data.columns, or leave them out with "
                f"'data.ignore=[{paths}]'"
            )
        lines += [f"{note} ({self._shown(count, place)})" for note, count in self.notes.items()]
        return lines

    def _shown(self, count: Count, place: Callable[[int], str]) -> str:
        rows = counted(count.rows, "row")
        if count.rows == self.rows:
            return rows
        first = "" if count.rows == 1 else "first at "
        return f"{rows}, {first}{place(count.first)}"


def _add(counts: dict[str, Count], key: str, rows: int, first: int) -> None:
    if key in counts:
        counts[key].add(rows, first)
    else:
        counts[key] = Count(rows, first)
