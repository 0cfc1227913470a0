"""Rows as conversations: what the columns of a data set mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pacos.errors import UserError
from pacos.schemas import Message, Row

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
"""Roles of conversations and of ShareGPT, to ours."""


class RowError(Exception):
    """A row that cannot be used; its text says why, without the place."""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to learn from."""

    messages: list[Message]
    """A system turn or none, then turns of user and assistant by turns, the assistant's last."""
    id: str | None = None
    """The row's own, where it has one."""
    terms: str | None = None
    """Licence or terms that its lineage names."""


Reader = Callable[[Mapping[str, Any]], list[Message]]


def reader_for(columns: Set[str]) -> Reader | None:
    """What makes conversations of rows with these columns; None where they are of no known kind."""
    for needed, reader in READERS.items():
        if columns >= set(needed):
            return reader
    return None


def read_example(record: Mapping[str, Any], reader: Reader) -> Example:
    """Read one row.

    Raises:
        RowError: it is not of its data set's schema, or has nothing to learn.
    """
    messages = reader(record)
    system = record.get("system")
    if system and messages[0]["role"] != "system":
        messages.insert(0, _message("system", system))
    _check_order(messages)
    lineage, identifier = record.get("lineage"), record.get("id")
    return Example(
        messages=messages,
        id=None if identifier is None else str(identifier),
        terms=lineage.get("terms") if isinstance(lineage, dict) else None,
    )


def _alpaca(record: Mapping[str, Any]) -> list[Message]:
    try:
        # Tables have null where a row has no input.
        row = Row.from_json({**record, "input": record.get("input") or ""}, "")
    except UserError as error:
        raise RowError(str(error).removeprefix(": ")) from error
    for text in (row.instruction, row.input, row.output):
        _check_text(text)
    return row.messages()


def _conversation(turns: Any, column: str) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise RowError(f"{column} = {_shown(turns)}: must be a list of turns")
    messages = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise RowError(
                f"{column}: turn {number} = {_shown(turn)}: must have a role and content"
            )
        role = turn.get("role", turn.get("from"))
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise RowError(
                f"{column}: turn {number}: role = {_shown(role)}: must be one of {known}"
            )
        content = turn.get("content", turn.get("value"))
        if ROLES[role] == "system" and not content:
            continue
        try:
            messages.append(_message(ROLES[role], content))
        except RowError as bad:
            raise RowError(f"{column}: turn {number}: {bad}") from bad
    while messages and messages[-1]["role"] != "assistant":
        # A question without an answer has nothing to learn, and no answer depends on it.
        messages.pop()
    if not messages:
        raise RowError(f"{column}: no turn of the assistant, so nothing to learn")
    return messages


def _pair(record: Mapping[str, Any]) -> list[Message]:
    prompt, completion = record.get("prompt"), record.get("completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        return _conversation([*prompt, *completion], "prompt, completion")
    turns = []
    for role, column, text in (("user", "prompt", prompt), ("assistant", "completion", completion)):
        try:
            turns.append(_message(role, text))
        except RowError as bad:
            raise RowError(str(bad).replace("content", column, 1)) from bad
    return turns


READERS: dict[tuple[str, ...], Reader] = {
    ("messages",): lambda record: _conversation(record.get("messages"), "messages"),
    ("conversations",): lambda record: _conversation(record.get("conversations"), "conversations"),
    ("instruction", "output"): _alpaca,
    ("prompt", "completion"): _pair,
}
"""Columns that a data set has, to what reads its rows; the first that fits."""


def _message(role: str, content: Any) -> Message:
    if not isinstance(content, str) or not content.strip():
        raise RowError(f"content = {_shown(content)}: must be a text that is not empty")
    _check_text(content)
    return {"role": role, "content": content}


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise RowError(
            f"{half} in {_shown(text)}: half of a character, as where a tool cut a text inside an "
            "emoji; take it out"
        ) from error


def _check_order(messages: Sequence[Message]) -> None:
    """A system turn or none, then user and assistant by turns: what every format can write out."""
    first = 1 if messages[0]["role"] == "system" else 0
    for number, message in enumerate(messages[first:]):
        expected = ("user", "assistant")[number % 2]
        if message["role"] != expected:
            raise RowError(
                f"turn {first + number + 1} is the {message['role']}'s where the {expected}'s is "
                "due: user and assistant take turns, after at most one system turn"
            )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
