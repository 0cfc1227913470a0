"""The thought of a turn, in a key of its own or at the beginning of its content."""

from __future__ import annotations

import re
from typing import Any

from pacos.data.example import Turn
from pacos.data.reading.fields import refusal, take_same, text_of

THOUGHTS = ("reasoning_content", "thinking", "reasoning")

LEADING = re.compile(r"\s*<think>(.*?)</think>", re.DOTALL)


def take_thought(keys: dict[str, Any], is_assistant: bool, place: str) -> dict[str, str]:
    """Take the thought of a turn out of its keys; an empty one is none.

    Raises:
        RowError: two keys have different thoughts, or the turn is not the assistant's.
    """
    thoughts = {key: value for key in THOUGHTS if (value := keys.pop(key, None)) not in (None, "")}
    name, value = take_same(thoughts, THOUGHTS, place)
    if value is None:
        return {}
    thought = text_of(value, f"{place}.{name}", empty=True)
    if thought.isspace():
        return {}
    if not is_assistant:
        remedy = "move it to the assistant turn that it leads to"
        raise refusal(f"{place}.{name}", value, "is a thought, but no assistant's", remedy)
    return {"reasoning_content": thought}


def drop_repeated(turn: Turn) -> None:
    """Remove a thought that the content begins with, too: the template would write it twice."""
    own = LEADING.match(turn["content"])
    if own is not None and own.group(1).strip() == turn["reasoning_content"].strip():
        del turn["reasoning_content"]
