from __future__ import annotations

from typing import Any

import pytest

from pacos.config import PromptFormat
from pacos.schemas import SeedTask
from selfinstruct.prompts import BLOCKS, SYSTEM, Layout, conversations

SEED = SeedTask("s1", "name", "Name a river.", "", "The Oder.", False)
WITH_INPUT = SeedTask("s2", "name", "Count the words.", "one two", "2", False)


def test_blocks_end_where_the_teacher_writes_the_next_instruction() -> None:
    prompt = BLOCKS.prompt([SEED, WITH_INPUT], "")
    assert prompt.startswith(BLOCKS.head)
    assert prompt.endswith(
        "\n###\nInstruction: Name a river.\nInput: none\nOutput: The Oder.\n###"
        "\nInstruction: Count the words.\nInput: one two\nOutput: 2\n###"
        "\nInstruction:"
    )
    assert BLOCKS.prompt([SEED], "Name").endswith("\nInstruction: Name")


def test_each_example_is_a_conversation_of_its_own(tokenizer: Any) -> None:
    layout = conversations(tokenizer, PromptFormat.chatml)
    system = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
    assert layout.prompt([SEED, WITH_INPUT], "List") == (
        f"{system}Name a river.<|im_end|>\n<|im_start|>assistant\nThe Oder.<|im_end|>\n"
        f"{system}Count the words.\n\none two<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
        f"{system}List"
    )


@pytest.mark.parametrize("prompt_format", PromptFormat)
def test_every_chat_format_has_a_layout(tokenizer: Any, prompt_format: PromptFormat) -> None:
    layout = conversations(tokenizer, prompt_format)
    assert layout.output.strip()
    assert layout.end.strip()
    assert "\x01" not in layout.task("a", "b", "c")


def test_whole_tasks_are_counted_by_their_end_marks(tokenizer: Any) -> None:
    assert BLOCKS.complete_tasks(" a\nOutput: b\n###\nInstruction: c") == 1
    layout: Layout = conversations(tokenizer, PromptFormat.chatml)
    asked = "a<|im_end|>"
    assert layout.complete_tasks(asked) == 0
    assert layout.complete_tasks(f"{asked}\n<|im_start|>assistant\nb<|im_end|>") == 1
