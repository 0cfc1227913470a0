"""The columns of one row by pacos's names, and the checks that every text of a row passes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pacos.data.encoding import RepeatedKeyError, WrittenFloat, object_of_pairs
from pacos.data.example import RowError
from pacos.text.printable import printable

SHOWN_CHARACTERS = 60
"""Longest value quoted in a message."""


@dataclass(frozen=True, slots=True)
class Meanings:
    """The names of one source, as its options give them."""

    roles: Mapping[str, str]
    """pacos's role for each role in lower case."""
    turn_keys: Mapping[str, str]
    """pacos's name for each renamed key of a turn."""
    ignore: frozenset[str]
    """Paths that are not named as unread."""
    ignored_keys: Mapping[str, frozenset[str]]
    """Keys of turns that are not read, by column."""


@dataclass(slots=True)
class Fields:
    """The columns of one row by pacos's names, with everything to report about the row."""

    columns: Mapping[str, Any]
    meanings: Meanings
    names: Mapping[str, str]
    """The row's own name of each renamed column."""
    filled: bool
    """The row comes from a table, where absent keys of structs are null."""
    is_plain: bool
    """The row has none of the optional columns but a context: no system prompt, tools or history.
    Looking for them would take a third of the time of a row."""
    unread: dict[str, None] = field(default_factory=dict)
    """Paths without a meaning. A dict keeps their order."""
    notes: list[str] = field(default_factory=list)

    def get(self, column: str) -> Any:
        """Return the value of a column; None if it is absent."""
        return self.columns.get(column)

    def place(self, column: str) -> str:
        """Return the row's own name of a column, for messages."""
        return self.names.get(column, column)

    def text(self, column: str) -> str:
        """Return the text of a column.

        Raises:
            RowError: it is not a text, or an empty one.
        """
        return text_of(self.columns.get(column), self.place(column))

    def optional_text(self, column: str) -> str:
        """Return the text of a column, exactly as it is; empty if the column is absent."""
        value = self.columns.get(column)
        if value is None or value == "":
            return ""
        return text_of(value, self.place(column), empty=True)

    def parsed(self, column: str) -> tuple[Any, bool]:
        """Return a column's value, parsed if it is JSON in a text, and if nulls fill its structs.

        Raises:
            RowError: a text that starts like JSON is none.
        """
        value = self.columns.get(column)
        if not isinstance(value, str):
            return value, self.filled
        if not value.strip():
            return None, False
        return parsed_json(value, self.place(column)), False

    def not_read(self, path: str) -> None:
        """Report a key that has a value but no meaning."""
        if path not in self.meanings.ignore:
            self.unread[printable(path)] = None


def shown(value: Any) -> str:
    """Return a value as JSON, shortened, to quote in a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        # Dates, decimals and bytes of a table.
        text = repr(value)
    text = printable(text)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def refusal(place: str, value: Any, fault: str, remedy: str) -> RowError:
    """Return the error for a value: `place = value: fault; remedy`."""
    return RowError(f"{place} = {shown(value)}: {fault}; {remedy}")


def text_of(value: Any, place: str, *, empty: bool = False) -> str:
    """Return a value as text; a number as the file writes it.

    Args:
        value: any JSON value.
        place: its place in the row, for messages.
        empty: allow a text without a visible character.

    Raises:
        RowError: it is neither text nor number, or an empty text, or holds half a character.
    """
    if isinstance(value, str):
        text = value
    elif is_number(value):
        text = value.text if isinstance(value, WrittenFloat) else json.dumps(value)
    else:
        raise refusal(place, value, *_not_a_text(value))
    check_characters(text, place)
    if not empty and (not text or text.isspace()):
        raise refusal(place, value, "must be a non-empty text", "fill it in, or remove the row")
    return text


def is_number(value: Any) -> bool:
    """Return True for a finite number; true and false are none."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _not_a_text(value: Any) -> tuple[str, str]:
    match value:
        case None:
            return "must be a non-empty text", "fill it in, or remove the row"
        case bool():
            return "must be a text", "write the word that the model should read"
        case list():
            return "must be a text, not a list", "join its items, or write a row for each"
        case dict():
            return "must be a text, not an object", "write it as the text the model should read"
    if isinstance(value, float):
        # pandas writes a missing value so.
        return "is no number that can be written as text", "leave it empty, or remove the row"
    return f"must be a text, not {type(value).__name__}", "write it as text"


def take_same(keys: dict[str, Any], names: Sequence[str], place: str) -> tuple[str, Any]:
    """Take a value that may have several names out of a turn's keys.

    Returns:
        The name used, or the first, and the value, or None.

    Raises:
        RowError: two names have different values.
    """
    used, value = names[0], None
    for name in names:
        other = keys.pop(name, None)
        if other is None:
            continue
        if value is not None and other != value:
            fault = f"differs from {used}, which is {shown(value)}"
            raise refusal(f"{place}.{name}", other, fault, "keep one of them")
        if value is None:
            used, value = name, other
    return used, value


def check_characters(text: str, place: str) -> None:
    """Refuse lone surrogates, which a tokenizer cannot encode."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        fault = f"holds {half}, half of a character, as if a tool cut the text inside an emoji"
        raise refusal(place, text, fault, "remove it") from error


def parsed_json(text: str, place: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        RowError: it is not JSON.
    """
    try:
        return _DECODER.decode(text)
    except RepeatedKeyError as error:
        raise RowError(f"{place} = {shown(text)}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise refusal(place, text, f"is not JSON: {error}", "write valid JSON") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=object_of_pairs, parse_constant=_refuse_constant)
