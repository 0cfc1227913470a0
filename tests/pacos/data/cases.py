"""Cases of rows: a row with its options, and its reading or its refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pacos.data.example import Content, Conversation, Turn


@dataclass(frozen=True)
class Read:
    """The reading of a row."""

    content: Content
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """The refusal of a row."""

    says: str
    """Part of the message: the place in the row, its value and the fault."""
    remedy: str
    """Part of the message, after it."""


@dataclass(frozen=True)
class Case:
    id: str
    row: Mapping[str, Any]
    expect: Read | Refused
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of SourceConfig."""
    filled: bool = False
    """The row comes from a table."""


def talk(*turns: Turn, tools: list[Any] | None = None, untrained: Iterable[int] = ()) -> Read:
    return Read(Conversation(list(turns), tools, frozenset(untrained)))


def system(text: str) -> Turn:
    return {"role": "system", "content": text}


def user(text: str, **keys: Any) -> Turn:
    return {"role": "user", "content": text, **keys}


def assistant(text: str, **keys: Any) -> Turn:
    return {"role": "assistant", "content": text, **keys}


def tool(text: str, **keys: Any) -> Turn:
    return {"role": "tool", "content": text, **keys}


def call(name: str, arguments: Any, **keys: Any) -> dict[str, Any]:
    return {"type": "function", **keys, "function": {"name": name, "arguments": arguments}}


def messages(*turns: Turn, **columns: Any) -> dict[str, Any]:
    return {"messages": list(turns), **columns}


def sharegpt(*turns: tuple[str, Any], **columns: Any) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": text} for who, text in turns], **columns}


HI = (user("Hello"), assistant("Hi"))
TALK = talk(*HI)
UNANSWERED = ("ends with an unanswered turn, which is left out",)
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": WEATHER}
ARGUMENTS = '{"city":  "Seoul", "days": 1.0}'
