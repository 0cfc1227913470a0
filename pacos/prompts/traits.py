"""What a foreign chat template can write, found by rendering probes with it once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacos.data.example import Conversation, RowError, Turn
from pacos.prompts import arguments
from pacos.prompts.rendering import ChatTemplate

_QUESTION: Turn = {"role": "user", "content": "How warm is it in Seoul?"}
_ARGUMENTS = {"probe_city": "probe of Seoul 서울"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_weather",
        "description": "Look up the weather.",
        "parameters": {
            "type": "object",
            "properties": {"probe_city": {"type": "string", "description": "Name of the city."}},
            "required": ["probe_city"],
        },
    },
}
_RESULT = "probe result"
_THOUGHT = "probe thought"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a chat template can write."""

    tools: bool = True
    calls: bool = True
    results: bool = True
    thoughts: bool = True
    text_arguments: bool = True
    """Writes arguments that are JSON text as they are; others would write them in quotes."""
    object_arguments: bool = True
    """Writes arguments that are an object; others fail on it."""
    no_content: str | None = ""
    """The content of a turn that only calls."""

    @classmethod
    def of(cls, template: ChatTemplate) -> Traits:
        """Probe a chat template."""
        tools = "probe_weather" in _text(template, [_QUESTION], [_TOOL])
        offered = [_TOOL] if tools else None
        thought = {"role": "assistant", "content": "Warm.", "reasoning_content": _THOUGHT}
        traits = cls(
            tools=tools,
            calls=False,
            results=False,
            thoughts=_THOUGHT in _text(template, [_QUESTION, thought], None),
        )
        for no_content in ("", None):
            by_form = {
                form: _text(template, [_QUESTION, _call(value, no_content)], offered)
                for form, value in (("text", _json()), ("object", _ARGUMENTS))
            }
            # Quoted, the text would stand there with a backslash before each quote.
            as_text, as_object = (
                _json() in by_form["text"],
                arguments.are_in(_ARGUMENTS, by_form["object"]),
            )
            if as_text or as_object:
                value = _ARGUMENTS if as_object else _json()
                result = {"role": "tool", "name": "probe_weather", "content": _RESULT}
                turns = [_QUESTION, _call(value, no_content), result]
                return cls(
                    tools=tools,
                    calls=True,
                    results=_RESULT in _text(template, turns, offered),
                    thoughts=traits.thoughts,
                    text_arguments=as_text,
                    object_arguments=as_object,
                    no_content=no_content,
                )
        return traits

    def lacking(self, conversation: Conversation) -> str | None:
        """Return a part of a conversation that the template cannot write, or None."""
        if conversation.tools and not self.tools:
            return "tools"
        for turn in conversation.turns:
            if turn.get("tool_calls") and not self.calls:
                return "tool_calls"
            if turn["role"] == "tool" and not self.results:
                return "turns of the role tool"
            if turn.get("reasoning_content") and not self.thoughts:
                return "reasoning_content"
        return None

    def prepared(self, turn: Turn) -> Turn:
        """Return a turn as the template takes it: `input` joined, arguments in its form.

        Raises:
            RowError: the template needs arguments as an object, and they are none.
        """
        turn = dict(turn)
        extra = turn.pop("input", None)
        if extra:
            turn["content"] = "\n\n".join(filter(None, (turn["content"], extra)))
        calls: Sequence[Mapping[str, Any]] = turn.get("tool_calls") or ()
        if calls:
            turn["tool_calls"] = [
                {**call, "function": self._function(call["function"])} for call in calls
            ]
            if not turn["content"].strip():
                turn["content"] = self.no_content
        return turn

    def _function(self, function: Mapping[str, Any]) -> dict[str, Any]:
        value = function["arguments"]
        if isinstance(value, str) and not self.text_arguments:
            value = arguments.parsed(value, function["name"])
        elif not isinstance(value, str) and not self.object_arguments:
            value = arguments.dumped(value)
        return {**function, "arguments": value}


def _json() -> str:
    return json.dumps(_ARGUMENTS, ensure_ascii=False)


def _call(value: Any, content: str | None) -> Turn:
    function = {"name": "probe_weather", "arguments": value}
    calls = [{"type": "function", "function": function}]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def _text(template: ChatTemplate, turns: Sequence[Turn], tools: Sequence[Any] | None) -> str:
    try:
        return template.render(turns, tools)
    except RowError:
        return ""
