"""Conversations with everything that a template has to write, drawn from a seed."""

from __future__ import annotations

import json
import random
from typing import Any

from pacos.data.example import Conversation, Turn

WORDS = [
    *("the", "answer", "서울", "is", "{x}", '"quoted"', "42", "<b>", "naïve\nline", "two;"),
    *("émile", "👋", "a\\b", "it's"),
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Looks up {name} — 'quickly'.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("get_weather", "get_time")
]


def text(rng: random.Random, most: int = 12) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


def call(rng: random.Random, *, as_text: bool) -> dict[str, Any]:
    arguments: Any = {
        "city": text(rng, 3),
        "days": rng.randint(0, 9),
        "deep": {"a": [1, None, True]},
    }
    if as_text:
        arguments = json.dumps(arguments, ensure_ascii=False)
    name = rng.choice(TOOLS)["function"]["name"]
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def conversation(
    rng: random.Random,
    *,
    tools: bool = False,
    thoughts: bool = False,
    beside: bool = True,
    several: bool = True,
    as_text: bool = False,
) -> Conversation:
    """Draw a conversation.

    Args:
        rng: the source of chance.
        tools: describe functions and call some.
        thoughts: give every answer a thought.
        beside: calls may have text beside them.
        several: a turn may have more than one call.
        as_text: arguments are JSON text.
    """
    turns: list[Turn] = []
    if rng.random() < 0.5:
        turns.append({"role": "system", "content": text(rng)})
    for _ in range(rng.randint(1, 3)):
        turns.append({"role": "user", "content": text(rng)})
        if tools and rng.random() < 0.6:
            count = rng.randint(1, 2) if several else 1
            calls = [call(rng, as_text=as_text) for _ in range(count)]
            content = text(rng) if beside and rng.random() < 0.5 else ""
            turns.append(answer(rng, content, thoughts) | {"tool_calls": calls})
            turns += [{"role": "tool", "content": text(rng)} for _ in calls]
        turns.append(answer(rng, text(rng), thoughts))
    return Conversation(turns, tools=TOOLS if tools else None)


def answer(rng: random.Random, content: str, thoughts: bool) -> Turn:
    turn = {"role": "assistant", "content": content}
    return {**turn, "reasoning_content": text(rng)} if thoughts else turn
