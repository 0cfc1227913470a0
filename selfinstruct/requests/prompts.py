"""Prompts: example tasks, written out up to the point where the generator continues.

A completions endpoint gets a text that breaks off where the reply starts. A chat endpoint gets one
user message; its reply is JSON if the endpoint supports schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacos.model.protocols import Tokenizer
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.schemas import Message
from selfinstruct.pool.pool import PoolTask
from selfinstruct.requests.shots import Shots
from selfinstruct.requests.wording import Wording

SEPARATOR = "###"
"""Line before each whole task."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The content of a request."""

    content: str | tuple[Message, ...]
    prefix: str = ""
    """The end of a text to be continued, which the parser puts back before the reply."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply; None: free text."""
    stop: tuple[str, ...] = ()
    """Strings that would start more than was asked for."""


@dataclass(frozen=True, slots=True)
class Style:
    """The form of prompt that the endpoint takes."""

    is_chat: bool
    """True: one user message; False: a text to be continued."""
    is_structured: bool
    """True: replies are JSON of a schema."""

    def prompt(
        self,
        text: str,
        prefix: str,
        *,
        ask: str = "",
        schema: Mapping[str, Any],
        stop: tuple[str, ...] = (),
        wording: Wording,
    ) -> Prompt:
        """Return the prompt in the form that the endpoint takes.

        Args:
            text: the opening and the examples.
            prefix: the start of what is to be written.
            ask: the request at the end of a chat message.
            schema: JSON schema of a structured reply.
            stop: stop strings of a text to be continued.
            wording: the language of the prompt.
        """
        if not self.is_chat:
            # A trailing space would be a token of its own, which rarely precedes a word.
            return Prompt(f"{text}\n{prefix}".rstrip(" "), prefix=prefix, stop=stop)
        message = f"{text}\n\n{ask}".strip() if ask else text
        if not self.is_structured:
            return Prompt(({"role": "user", "content": f"{message}\n\n{prefix}".strip()},))
        form = wording.as_json.format(form=json.dumps(_sketch(schema), ensure_ascii=False))
        return Prompt(({"role": "user", "content": f"{message}\n\n{form}"},), schema=schema)


def _sketch(schema: Mapping[str, Any]) -> Any:
    """Return the schema as a short example with dots for values, to be shown in the prompt."""
    if schema["type"] == "object":
        return {key: _sketch(value) for key, value in schema["properties"].items()}
    return [_sketch(schema["items"])] if schema["type"] == "array" else "…"


def _objects(*keys: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": list(keys),
        "additionalProperties": False,
    }


def _list_of(name: str, items: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": dict(items)}},
        "required": [name],
        "additionalProperties": False,
    }


# Strict schemas (every property required, none additional), as OpenAI's structured output demands.
TASKS = _list_of("tasks", _objects("instruction", "input", "output"))
INSTRUCTIONS = _list_of("instructions", {"type": "string"})
LABELLED = _list_of("instances", _objects("label", "input"))
INSTANCES = _list_of("instances", _objects("input", "output"))


def whole_tasks(examples: Sequence[PoolTask], count: int, wording: Wording, style: Style) -> Prompt:
    """Return Alpaca's prompt: a few whole tasks, to be followed by `count` new ones."""
    first = len(examples) + 1
    last = len(examples) + count
    blocks = [_block(number, task, wording) for number, task in enumerate(examples, start=1)]
    if style.is_chat:
        text = "\n\n".join((wording.brief.format(count=count), wording.examples, "\n".join(blocks)))
        ask = "" if style.is_structured else wording.blocks.format(first=first, last=last)
        return style.prompt(text, "", ask=ask, schema=TASKS, wording=wording)
    return style.prompt(
        "\n".join((wording.collection, *blocks, SEPARATOR)),
        f"{first}. {wording.instruction}:",
        schema=TASKS,
        stop=(f"\n{SEPARATOR}\n{last + 1}.",),
        wording=wording,
    )


def _block(number: int, task: PoolTask, wording: Wording) -> str:
    return (
        f"{SEPARATOR}\n{number}. {wording.instruction}: {task.instruction}\n"
        f"{number}. {wording.input}:\n{task.input or wording.no_input}\n"
        f"{number}. {wording.output}:\n{task.output}"
    )


def more_instructions(
    examples: Sequence[str], count: int, wording: Wording, style: Style
) -> Prompt:
    """Return Self-Instruct's first prompt: a list of instructions, to be continued by `count`."""
    first = len(examples) + 1
    last = len(examples) + count
    # Self-Instruct's release cleans instructions likewise: one line each, no colon at the end.
    lines = [f"{n}. {' '.join(text.split()).rstrip(':')}" for n, text in enumerate(examples, 1)]
    return style.prompt(
        "\n".join((wording.instructions, *lines)),
        "" if style.is_chat else f"{first}.",
        ask=wording.more_instructions.format(first=first, last=last),
        schema=INSTRUCTIONS,
        stop=(f"\n{last + 1}.",),
        wording=wording,
    )


def is_classification(instruction: str, shots: Shots, wording: Wording, style: Style) -> Prompt:
    """Return Self-Instruct's second prompt: yes or no, one word in every style."""
    examples = [
        f"{wording.task}: {shot.instruction}\n{wording.is_classification} "
        f"{wording.yes if shot.is_classification else wording.no}"
        for shot in shots.classification
    ]
    text = "\n\n".join((wording.classify, *examples))
    question = f"\n{wording.task}: {instruction}\n{wording.is_classification}"
    if style.is_chat:
        return Prompt(({"role": "user", "content": f"{text}\n{question}"},))
    return Prompt(f"{text}\n{question}", stop=("\n",))


def output_first(instruction: str, shots: Shots, wording: Wording, style: Style) -> Prompt:
    """Return Self-Instruct's prompt for classification instances: a label, then an input for it."""
    examples = [
        "\n".join(
            (
                f"{wording.task}: {shot.instruction}",
                *(f"{wording.label}: {item.label}\n{item.input}" for item in shot.instances),
            )
        )
        for shot in shots.output_first
    ]
    return _instances(wording.output_first, examples, instruction, LABELLED, wording, style)


def input_first(instruction: str, shots: Shots, wording: Wording, style: Style) -> Prompt:
    """Return Self-Instruct's prompt for instances of all other tasks."""
    examples = []
    for shot in shots.input_first:
        lines = [f"{wording.task}: {shot.instruction}"]
        for number, item in enumerate(shot.instances, start=1):
            if len(shot.instances) > 1:
                lines.append(f"{wording.example} {number}")
            lines.extend([f"{wording.input}: {item.input}"] if item.input else [])
            lines.append(f"{wording.output}: {item.output}")
        examples.append("\n".join(lines))
    return _instances(wording.input_first, examples, instruction, INSTANCES, wording, style)


def _instances(
    head: str,
    examples: Sequence[str],
    instruction: str,
    schema: Mapping[str, Any],
    wording: Wording,
    style: Style,
) -> Prompt:
    task = f"{wording.task}: {instruction}"
    text = "\n\n".join((head, *examples, task))
    if not style.is_chat:
        return Prompt(f"{text}\n", stop=(f"\n{wording.task}:",))
    return style.prompt(text, "", schema=schema, wording=wording)


@dataclass(frozen=True, slots=True)
class ChatMarks:
    """The text that a chat format puts around a task written as a conversation of its own.

    A small chat model writes sensible tasks only in its chat format. Each example is a new
    conversation, so that the next user turn asks for something new instead of following up.
    """

    before: str
    """Marks before the user's text: the system message and the header of the turn."""
    between: str
    """Marks between the user's text and the assistant's."""
    end: str
    """Marks after the assistant's text."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, prompt_format: PromptFormat, wording: Wording) -> ChatMarks:
        """Return the marks of a prompt format, by rendering it around two placeholders."""
        # Control characters, which no template contains or alters.
        marks = "\x01", "\x02"
        turns = zip(("system", "user", "assistant"), (wording.system, *marks), strict=True)
        text: str = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns],
            chat_template=FORMATS[prompt_format].exported(),
            tokenize=False,
        )
        before, rest = text.split(marks[0])
        between, end = rest.split(marks[1])
        return cls(before=before, between=between, end=end)

    def prompt(self, examples: Sequence[PoolTask], opener: str) -> Prompt:
        """Return a text of example tasks and the start of the next one."""
        tasks = [
            f"{self.before}{_joined(task)}{self.between}{task.output}{self.end}"
            for task in examples
        ]
        # A trailing space would be a token of its own, which rarely precedes a word.
        text = f"{''.join(tasks)}{self.before}{opener}".rstrip(" ")
        # One conversation per reply: the model would go on with the next system message.
        return Prompt(text, prefix=opener, stop=(f"{self.end}{self.before.partition(chr(10))[0]}",))


def _joined(task: PoolTask) -> str:
    return f"{task.instruction}\n\n{task.input}" if task.input else task.instruction
