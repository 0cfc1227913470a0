"""Check that a chat template writes everything that a conversation has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pacos.data.example import Turn
from pacos.prompts import arguments
from pacos.prompts.rendering import Rendering
from pacos.prompts.thoughts import split_content


def left_out(
    turns: Sequence[Turn], tools: Sequence[Any] | None, renderings: Sequence[Rendering]
) -> str | None:
    """Return the first part of a conversation that none of its texts has, or None.

    Turns after the last one that is trained may be absent, and so may the thoughts of turns without
    a loss: no answer is written after the former, and templates such as Qwen3's keep the latter out
    of every prompt.
    """
    trained = {turn for rendering in renderings for turn in rendering.trained}
    turns = turns[: max(trained) + 1]
    missing = [list(_missing(turns, tools, rendering, trained)) for rendering in renderings]
    return next((part for part in missing[0] if all(part in rest for rest in missing[1:])), None)


def _missing(
    turns: Sequence[Turn], tools: Sequence[Any] | None, rendering: Rendering, trained: set[int]
) -> Iterator[str]:
    text = rendering.text
    for tool in tools or ():
        function = tool.get("function")
        function = function if isinstance(function, dict) else tool
        name = function.get("name")
        if isinstance(name, str) and name not in text:
            yield f"the tool {name}"
            continue
        description = function.get("description")
        if isinstance(description, str) and not _is_in(description.strip(), text):
            yield f"the description of the tool {name}"
        parameters = function.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        for parameter in properties if isinstance(properties, dict) else ():
            if not _is_in(parameter, text):
                yield f"the parameter {parameter} of the tool {name}"
    begin = 0
    for number, turn in enumerate(turns):
        place = f"turn {number + 1} ({turn['role']})"
        answer = rendering.answer(number)
        if answer is not None:
            part = text[answer.begin : answer.end]
            yield from _missing_of_answer(turn, part, place, thoughts=number in trained)
            begin = answer.end
            continue
        for key in ("content", "input"):
            value = (turn.get(key) or "").strip()
            # Templates may move system turns; the others stand in their order.
            start = 0 if turn["role"] == "system" else begin
            at = text.find(value, start)
            if at < 0:
                # Llama 3.1 writes the results of tools as JSON.
                value = _escaped(value)
                at = text.find(value, start)
            if at < 0:
                yield f"the {key} of {place}"
            elif turn["role"] != "system":
                begin = at + len(value)


def _escaped(value: str) -> str:
    """Return a text as JSON has it between its quotes."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _is_in(value: str, text: str) -> bool:
    return value in text or _escaped(value) in text


def _missing_of_answer(turn: Turn, part: str, place: str, *, thoughts: bool) -> Iterator[str]:
    held, content = split_content(turn)
    if content.strip() not in part:
        yield f"the content of {place}"
    if thoughts and not all(thought in part for thought in held):
        yield f"the thought of {place}"
    for call in turn.get("tool_calls") or ():
        function = call["function"]
        if function["name"] not in part:
            yield f"the call of {function['name']} in {place}"
        elif not arguments.are_in(function["arguments"], part):
            yield f"the arguments of {function['name']} in {place}"
