"""A row of a data set as something to train on, in one of three forms."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from pacos.text.printable import printable


class RowError(Exception):
    """A row that cannot be used. Its text says why and what to do, but not where the row is."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


Turn = dict[str, Any]
"""One turn, as chat templates read it.

`role` (system, user, assistant or tool) and `content` (text) are always there. A user turn may have
`input` (Alpaca's third field). An assistant turn may have `reasoning_content` (text) and
`tool_calls`, a list of `{"type": "function", "function": {"name", "arguments"}}`, with an `id` if
the row has one; the arguments are JSON text or an object, as the row has them. A tool turn may have
`name` and `tool_call_id`. Absent keys are missing, never null.
"""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns to render with a prompt format."""

    turns: list[Turn]
    """At least one is the assistant's, and so is the last. Roles may follow each other in any
    order, except that results of tools come after a turn of the assistant."""
    tools: list[Any] | None = None
    """Descriptions of the functions that the assistant may call, each as OpenAI's
    `{"type": "function", "function": {…}}`; None if there are none."""
    untrained: frozenset[int] = frozenset()
    """Indices of assistant turns without a loss: weight 0, or trained in another example."""


@dataclass(frozen=True, slots=True)
class RawText:
    """Text that no prompt format wraps; the tokenizer's eos token follows it."""

    prompt: str
    """Text without a loss; empty for plain text."""
    text: str
    """Text with a loss on every token."""


@dataclass(frozen=True, slots=True)
class TokenIds:
    """A row that was tokenized before."""

    ids: list[int]
    labels: list[int]
    """The id of a supervised token, else -100."""


Content = Conversation | RawText | TokenIds


@dataclass(frozen=True, slots=True)
class Example:
    """One row, read."""

    content: Content
    id: str | None = None
    """The row's own id, if it has one."""
    terms: str | None = None
    """Licence or terms recorded in the row's lineage."""
    unread: tuple[str, ...] = ()
    """Columns and keys that have a value but no meaning to pacos: `category`, `messages[].model`.
    Those in `data.ignore` are left out."""
    notes: tuple[str, ...] = ()
    """Changes worth naming once: "ends with an unanswered turn, which is left out"."""


def content_hash(content: Content) -> int:
    """Return 64 bits that are the same for rows with the same content, in any file and form.

    Among a million rows, two different ones share them with a probability of 3e-8.
    """
    if isinstance(content, Conversation):
        # Neither the masks, nor the place of Alpaca's input, change what the text says.
        facts: Any = {"turns": [_joined(turn) for turn in content.turns], "tools": content.tools}
    else:
        facts = asdict(content)
    text = json.dumps(facts, sort_keys=True, default=str)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _joined(turn: Turn) -> Turn:
    if "input" not in turn:
        return turn
    content = f"{turn['content']}\n\n{turn['input']}" if turn["input"] else turn["content"]
    return {**{key: turn[key] for key in turn if key != "input"}, "content": content}
