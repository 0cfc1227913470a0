"""Rows as conversations: the meaning of a data set's columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pacos.data.example import Conversation, RowError
from pacos.data.example import Example as ReadExample
from pacos.data.source_config import SourceConfig
from pacos.schemas import Message, Row, row_problem

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
"""Our role for each role of OpenAI's messages and of ShareGPT's conversations."""

SHOWN_CHARACTERS = 60
"""Longest value quoted in a message."""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to train on."""

    messages: list[Message]
    """At most one system turn, then alternating turns of user and assistant. The assistant has the
    last turn."""
    id: str | None = None
    """The row's own id, if it has one."""
    terms: str | None = None
    """Licence or terms recorded in the row's lineage."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads the records of one source."""

    config: SourceConfig

    @classmethod
    def of(cls, config: SourceConfig) -> RowReader:
        """Return the reader for a source with these options."""
        return cls(config)

    def read(self, record: Mapping[str, Any], *, filled: bool) -> ReadExample:
        """Read one record.

        Args:
            record: the columns of a row.
            filled: the record comes from a table, where absent keys of structs are null.

        Raises:
            RowError: the row cannot be used.
        """
        reader = reader_for({column for column, value in record.items() if value is not None})
        if reader is None:
            known = "; or ".join(" and ".join(needed) for needed in READERS)
            raise RowError(
                f"has the columns {', '.join(record) or 'none'}, which match no known schema; "
                f"name them with data.columns, so that they are one of: {known}"
            )
        example = read_example(record, reader)
        return ReadExample(Conversation([*example.messages]), id=example.id, terms=example.terms)


Reader = Callable[[Mapping[str, Any]], list[Message]]
"""Turns a row into a conversation."""


def reader_for(columns: Set[str]) -> Reader | None:
    """Return the reader for rows with these columns; None if they match no known schema."""
    for needed, reader in READERS.items():
        if columns >= set(needed):
            return reader
    return None


def read_example(record: Mapping[str, Any], reader: Reader) -> Example:
    """Read one row.

    Raises:
        RowError: the row does not match the schema of its data set, or has nothing to learn.
    """
    messages = reader(record)
    system = record.get("system")
    if system and messages[0]["role"] != "system":
        messages.insert(0, _message("system", system, "system"))
    _check_order(messages)
    lineage, identifier = record.get("lineage"), record.get("id")
    return Example(
        messages=messages,
        id=None if identifier is None else str(identifier),
        terms=lineage.get("terms") if isinstance(lineage, dict) else None,
    )


def _read_alpaca(record: Mapping[str, Any]) -> list[Message]:
    # A table holds null where a row has no input.
    record = {**record, "input": record.get("input") or ""}
    problem = row_problem(record)
    if problem is not None:
        raise RowError(problem)
    for column in ("instruction", "input", "output"):
        _check_text(record[column], column)
    return Row.from_json(record, "").messages()


def _read_conversation(turns: Any, column: str) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise RowError(f"{column} = {_shown(turns)}: must be a list of turns")
    messages = []
    for number, turn in enumerate(turns, start=1):
        place = f"{column}: turn {number}"
        if not isinstance(turn, dict):
            raise RowError(f"{place} = {_shown(turn)}: must have a role and content")
        # ShareGPT calls role and content "from" and "value".
        role = turn.get("role", turn.get("from"))
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise RowError(f"{place}: role = {_shown(role)}: must be one of {known}")
        content = turn.get("content", turn.get("value"))
        # An empty system turn means none: tools write one for every conversation.
        if ROLES[role] != "system" or content:
            messages.append(_message(ROLES[role], content, f"{place}: content"))
    while messages and messages[-1]["role"] != "assistant":
        # An unanswered question at the end has nothing to learn, and no answer depends on it.
        messages.pop()
    if not messages:
        raise RowError(f"{column}: no turn of the assistant, so nothing to learn")
    return messages


def _read_pair(record: Mapping[str, Any]) -> list[Message]:
    prompt, completion = record.get("prompt"), record.get("completion")
    # TRL's conversational form: two lists of turns.
    if isinstance(prompt, list) and isinstance(completion, list):
        return _read_conversation([*prompt, *completion], "prompt, completion")
    return [
        _message("user", prompt, "prompt"),
        _message("assistant", completion, "completion"),
    ]


READERS: dict[tuple[str, ...], Reader] = {
    ("messages",): lambda record: _read_conversation(record.get("messages"), "messages"),
    ("conversations",): lambda record: _read_conversation(
        record.get("conversations"), "conversations"
    ),
    ("instruction", "output"): _read_alpaca,
    ("prompt", "completion"): _read_pair,
}
"""The reader for each set of columns. The first whose columns are all present is used."""


def _message(role: str, content: Any, field: str) -> Message:
    """Return one turn.

    Args:
        role: ours.
        content: the text, unchecked.
        field: its place in the row, for messages.

    Raises:
        RowError: the content is not a text, or an empty one.
    """
    if not isinstance(content, str) or not content.strip():
        raise RowError(f"{field} = {_shown(content)}: must be a non-empty text")
    _check_text(content, field)
    return {"role": role, "content": content}


def _check_text(text: str, field: str) -> None:
    """Refuse lone surrogates, which a tokenizer cannot encode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise RowError(
            f"{field} = {_shown(text)}: holds {half}, half of a character, as if a tool cut the "
            "text inside an emoji; remove it"
        ) from error


def _check_order(messages: Sequence[Message]) -> None:
    """Refuse turns in an order that not every prompt format can express."""
    first = 1 if messages[0]["role"] == "system" else 0
    for number, message in enumerate(messages[first:]):
        expected = ("user", "assistant")[number % 2]
        if message["role"] != expected:
            raise RowError(
                f"turn {first + number + 1} is the {message['role']}'s, but must be the "
                f"{expected}'s: user and assistant alternate, after at most one system turn"
            )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}…"
