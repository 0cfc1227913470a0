"""What a request says: example tasks written out, and the place where the teacher goes on.

A completions endpoint is given a text that breaks off where the reply begins. A chat endpoint is
given a message, and its reply begins anew, as JSON where the endpoint can be bound to a schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacos.model.formats import PromptFormat
from pacos.model.prompts import FORMATS
from pacos.schemas import Message, SeedTask
from selfinstruct.requests.shots import Shots
from selfinstruct.requests.wording import Wording

SEPARATOR = "###"
"""Stands on a line of its own before each whole task."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The words of a request."""

    content: str | tuple[Message, ...]
    prefix: str = ""
    """What the text ends with and the reply goes on from: to be put before it."""
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()
    """What would begin more than was asked for."""


@dataclass(frozen=True, slots=True)
class Style:
    """What the endpoint takes."""

    is_chat: bool
    is_structured: bool

    def prompt(
        self,
        text: str,
        prefix: str,
        *,
        ask: str = "",
        schema: Mapping[str, Any],
        stop: tuple[str, ...] = (),
        words: Wording,
    ) -> Prompt:
        """One text in the form that the endpoint takes.

        Args:
            text: opening and examples.
            prefix: the beginning of what is to be written, for a text that is to be continued.
            ask: what a chat model is asked for at the end of the message.
            schema: of a reply in JSON.
            stop: what would begin more than was asked for.
            words: the language.
        """
        if not self.is_chat:
            return Prompt(f"{text}\n{prefix}".rstrip(" "), prefix=prefix, stop=stop)
        message = f"{text}\n\n{ask}".strip() if ask else text
        if not self.is_structured:
            return Prompt(({"role": "user", "content": f"{message}\n\n{prefix}".strip()},))
        form = words.as_json.format(form=json.dumps(_sketch(schema), ensure_ascii=False))
        return Prompt(({"role": "user", "content": f"{message}\n\n{form}"},), schema=schema)


def _sketch(schema: Mapping[str, Any]) -> Any:
    """A schema as a person would hint at it."""
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


TASKS = _list_of("tasks", _objects("instruction", "input", "output"))
INSTRUCTIONS = _list_of("instructions", {"type": "string"})
LABELLED = _list_of("instances", _objects("label", "input"))
INSTANCES = _list_of("instances", _objects("input", "output"))


def whole_tasks(examples: Sequence[SeedTask], count: int, words: Wording, style: Style) -> Prompt:
    """Alpaca's request: `count` tasks with their outputs after a few examples."""
    first = len(examples) + 1
    last = len(examples) + count
    blocks = [_block(number, task, words) for number, task in enumerate(examples, start=1)]
    if style.is_chat:
        text = "\n\n".join((words.brief.format(count=count), words.examples, "\n".join(blocks)))
        ask = "" if style.is_structured else words.blocks.format(first=first, last=last)
        return style.prompt(text, "", ask=ask, schema=TASKS, words=words)
    return style.prompt(
        "\n".join((words.collection, *blocks, SEPARATOR)),
        f"{first}. {words.instruction}:",
        schema=TASKS,
        stop=(f"\n{SEPARATOR}\n{last + 1}.",),
        words=words,
    )


def _block(number: int, task: SeedTask, words: Wording) -> str:
    return (
        f"{SEPARATOR}\n{number}. {words.instruction}: {task.instruction}\n"
        f"{number}. {words.input}:\n{task.input or words.no_input}\n"
        f"{number}. {words.output}:\n{task.output}"
    )


def more_instructions(examples: Sequence[str], count: int, words: Wording, style: Style) -> Prompt:
    """Self-Instruct's first request: a list of instructions to go on with."""
    first = len(examples) + 1
    last = len(examples) + count
    lines = [f"{n}. {' '.join(text.split()).rstrip(':')}" for n, text in enumerate(examples, 1)]
    return style.prompt(
        "\n".join((words.instructions, *lines)),
        "" if style.is_chat else f"{first}.",
        ask=words.more_instructions.format(first=first, last=last),
        schema=INSTRUCTIONS,
        stop=(f"\n{last + 1}.",),
        words=words,
    )


def is_classification(instruction: str, shots: Shots, words: Wording, style: Style) -> Prompt:
    """Self-Instruct's second request; the reply is one word in every style."""
    examples = [
        f"{words.task}: {shot.instruction}\n{words.is_classification} "
        f"{words.yes if shot.is_classification else words.no}"
        for shot in shots.classification
    ]
    text = "\n\n".join((words.classify, *examples))
    question = f"\n{words.task}: {instruction}\n{words.is_classification}"
    if style.is_chat:
        return Prompt(({"role": "user", "content": f"{text}\n{question}"},))
    return Prompt(f"{text}\n{question}", stop=("\n",))


def output_first(instruction: str, shots: Shots, words: Wording, style: Style) -> Prompt:
    """Self-Instruct's request for instances of classification: a label, then an input for it."""
    examples = [
        "\n".join(
            (
                f"{words.task}: {shot.instruction}",
                *(f"{words.label}: {item.label}\n{item.input}" for item in shot.instances),
            )
        )
        for shot in shots.output_first
    ]
    return _instances(words.output_first, examples, instruction, LABELLED, words, style)


def input_first(instruction: str, shots: Shots, words: Wording, style: Style) -> Prompt:
    """Self-Instruct's request for instances of all other tasks."""
    examples = []
    for shot in shots.input_first:
        lines = [f"{words.task}: {shot.instruction}"]
        for number, item in enumerate(shot.instances, start=1):
            if len(shot.instances) > 1:
                lines.append(f"{words.example} {number}")
            lines.extend([f"{words.input}: {item.input}"] if item.input else [])
            lines.append(f"{words.output}: {item.output}")
        examples.append("\n".join(lines))
    return _instances(words.input_first, examples, instruction, INSTANCES, words, style)


def _instances(
    head: str,
    examples: Sequence[str],
    instruction: str,
    schema: Mapping[str, Any],
    words: Wording,
    style: Style,
) -> Prompt:
    task = f"{words.task}: {instruction}"
    text = "\n\n".join((head, *examples, task))
    if not style.is_chat:
        return Prompt(f"{text}\n", stop=(f"\n{words.task}:",))
    return style.prompt(text, "", schema=schema, words=words)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The marks of a chat format around a task that is written out as a conversation of its own.

    A small chat model writes sensible tasks only there. Each example begins a new conversation, so
    that the next user asks for something new instead of going on about the example.
    """

    before: str
    between: str
    end: str

    @classmethod
    def of(cls, tokenizer: Any, prompt_format: PromptFormat, words: Wording) -> Conversation:
        """The marks of a format."""
        marks = "\x01", "\x02"
        turns = zip(("system", "user", "assistant"), (words.system, *marks), strict=True)
        text: str = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns],
            chat_template=FORMATS[prompt_format].exported(),
            tokenize=False,
        )
        before, rest = text.split(marks[0])
        between, end = rest.split(marks[1])
        return cls(before=before, between=between, end=end)

    def prompt(self, examples: Sequence[SeedTask], opener: str) -> Prompt:
        """Example tasks, and the beginning of the next one, which the teacher writes."""
        tasks = [
            f"{self.before}{_joined(seed)}{self.between}{seed.output}{self.end}"
            for seed in examples
        ]
        # A blank at the end would be a token that hardly ever precedes a word.
        text = f"{''.join(tasks)}{self.before}{opener}".rstrip(" ")
        return Prompt(text, prefix=opener, stop=(f"{self.end}{self.before.partition(chr(10))[0]}",))


def _joined(task: SeedTask) -> str:
    return f"{task.instruction}\n\n{task.input}" if task.input else task.instruction
