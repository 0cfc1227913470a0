"""How tasks are written out for the teacher: as a text that goes on with a task of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pacos.config import PromptFormat
from pacos.prompts import FORMATS
from pacos.schemas import SeedTask

HEAD = (
    "A collection of things that people asked an assistant to do. No two are about the same matter "
    "or have the same shape. Each has an instruction, the input it works on where there is one, "
    "and the assistant's short, correct and finished output."
)
"""Opens a prompt of labelled blocks."""

SYSTEM = "You are a helpful assistant. You answer each request in a few sentences."
"""System message of each conversation: what a small chat model needs to keep its answers short."""

NO_INPUT = frozenset({"", "none", "none.", "no input", "n/a", "<none>", "<noinput>"})
"""What a teacher writes in lower case where a task has no input."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The words around the parts of a task, the same in the prompt and in the reply."""

    head: str
    """Stands once, before the first task."""
    instruction: str
    """Stands before the instruction, and so begins a task."""
    input: str
    output: str
    end: str
    no_input: str
    """Written for an absent input; an empty one leaves the part out with its label."""

    def task(self, instruction: str, task_input: str, output: str) -> str:
        """One task, written out."""
        given = task_input or self.no_input
        part = f"{self.input}{given}" if given else ""
        return f"{self.instruction}{instruction}{part}{self.output}{output}{self.end}"

    def prompt(self, examples: Sequence[SeedTask], opener: str) -> str:
        """Example tasks, and the beginning of the next one, which the teacher writes.

        Args:
            examples: written out one after the other.
            opener: the first words of the next instruction; empty leaves them to the teacher.
        """
        tasks = [self.task(seed.instruction, seed.input, seed.output) for seed in examples]
        # A blank at the end would be a token that hardly ever precedes a word.
        return f"{self.head}{''.join(tasks)}{self.instruction}{opener}".rstrip(" ")

    def complete_tasks(self, reply: str) -> int:
        """How many whole tasks a reply holds, malformed ones counted by their end marks."""
        mark = self.end.strip()
        marks_per_task = 1 + self.output.count(mark)
        return reply.count(mark) // marks_per_task


BLOCKS = Layout(
    head=f"{HEAD}\n###",
    instruction="\nInstruction: ",
    input="\nInput: ",
    output="\nOutput: ",
    end="\n###",
    no_input="none",
)
"""Labelled blocks: a text that any language model can continue."""


def conversations(tokenizer: Any, prompt_format: PromptFormat) -> Layout:
    """Tasks as conversations of their own in the teacher's chat format.

    A small chat model writes sensible tasks only there. Each example begins a new conversation, so
    that the next user asks for something new instead of going on about the example.
    """
    marks = "\x01", "\x02"
    turns = zip(("system", "user", "assistant"), (SYSTEM, *marks), strict=True)
    text: str = tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in turns],
        chat_template=FORMATS[prompt_format].exported(),
        tokenize=False,
    )
    before, rest = text.split(marks[0])
    between, end = rest.split(marks[1])
    return Layout(head="", instruction=before, input="\n\n", output=between, end=end, no_input="")
