"""Cases of rows: a row with its options, and its reading and trained text, or its refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pacos.data.example import Content, Conversation, Turn


@dataclass(frozen=True)
class Refused:
    """The refusal of a row."""

    says: str
    """Part of the message: the place in the row, its value and the fault."""
    remedy: str
    """Part of the message, after it."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """The reading of a row, and what it teaches."""

    content: Content
    learnt: tuple[str, ...] | Refused
    """Text of each run of tokens with a loss, in chatml with SmolLM2's tokenizer; or the refusal of
    a row that can be read, but not tokenized."""
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    id: str
    row: Mapping[str, Any]
    expect: Read | Refused
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of SourceConfig."""
    filled: bool = False
    """The row comes from a table."""
    encoding: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of Encoder.of; without `prompt_format`, it is chatml."""


def talk(
    *turns: Turn,
    tools: list[Any] | None = None,
    untrained: Iterable[int] = (),
    learnt: tuple[str, ...] | Refused | None = None,
) -> Read:
    """Return the reading of a conversation.

    Args:
        turns: of the conversation.
        tools: descriptions of functions.
        untrained: indices of the assistant turns without a loss.
        learnt: see `Read`. May be left out where every answer is plain text, all of it with a loss.
    """
    content = Conversation(list(turns), tools, frozenset(untrained))
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if learnt is None:
        is_plain = all(turn.keys() == {"role", "content"} for turn in answers)
        if not is_plain or tools is not None or content.untrained:
            raise ValueError("say what is learnt: not every answer is plain text with a loss")
        learnt = tuple(turn["content"] + STOP for turn in answers)
    return Read(content=content, learnt=learnt)


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


STOP = "<|im_end|>"
HI = (user("Hello"), assistant("Hi"))
TALK = talk(*HI)
UNANSWERED = ("ends with an unanswered turn, which is left out",)
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": WEATHER}
ARGUMENTS = '{"city":  "Seoul", "days": 1.0}'
