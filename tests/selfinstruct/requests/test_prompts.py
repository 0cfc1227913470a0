from __future__ import annotations

from typing import Any

import pytest

from pacos.prompts.formats import PromptFormat
from selfinstruct.pool.pool import PoolTask
from selfinstruct.requests import prompts
from selfinstruct.requests.prompts import ChatMarks, Style
from selfinstruct.requests.shots import load_shots
from selfinstruct.requests.wording import EN, KO, WORDINGS, Wording

SEED = PoolTask("s1", "Name a river.", "", "The Oder.")
WITH_INPUT = PoolTask("s2", "Count the words.", "one two", "2")
TEXT = Style(is_chat=False, is_structured=False)
CHAT = Style(is_chat=True, is_structured=False)
JSON = Style(is_chat=True, is_structured=True)


def content(prompt: prompts.Prompt) -> str:
    assert isinstance(prompt.content, tuple)
    (message,) = prompt.content
    assert message["role"] == "user"
    return message["content"]


def test_a_text_of_tasks_breaks_off_where_the_next_one_begins() -> None:
    prompt = prompts.whole_tasks([SEED, WITH_INPUT], 16, EN, TEXT)
    assert isinstance(prompt.content, str)
    assert prompt.content.endswith(
        "###\n1. Instruction: Name a river.\n1. Input:\nnone\n1. Output:\nThe Oder.\n"
        "###\n2. Instruction: Count the words.\n2. Input:\none two\n2. Output:\n2\n"
        "###\n3. Instruction:"
    )
    assert prompt.prefix == "3. Instruction:"
    assert prompt.stop == ("\n###\n19.",)


@pytest.mark.parametrize("words", WORDINGS.values())
def test_a_message_asks_for_so_many_tasks(words: Wording) -> None:
    text = content(prompts.whole_tasks([SEED], 16, words, CHAT))
    assert "16" in text
    assert "17" in text, "the last number"
    assert "Name a river." in text
    structured = prompts.whole_tasks([SEED], 16, words, JSON)
    assert structured.schema == prompts.TASKS
    assert '{"tasks": [{"instruction": "…", "input": "…", "output": "…"}]}' in content(structured)


def test_a_list_of_instructions_is_gone_on_with() -> None:
    texts = ["Name a river.", "List\nthree things:"]
    prompt = prompts.more_instructions(texts, 8, EN, TEXT)
    assert isinstance(prompt.content, str)
    assert prompt.content.endswith("1. Name a river.\n2. List three things\n3.")
    assert (prompt.prefix, prompt.stop) == ("3.", ("\n11.",))
    assert "3 to 10" in content(prompts.more_instructions(texts, 8, EN, CHAT))
    assert "3번부터 10번" in content(prompts.more_instructions(texts, 8, KO, CHAT))


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_fixed_examples_of_the_later_steps(lang: str) -> None:
    words, shots = WORDINGS[lang], load_shots(lang)
    asked = prompts.is_classification("Sort these.", shots, words, TEXT).content
    assert isinstance(asked, str)
    assert asked.count(words.is_classification) == 31 + 1
    assert asked.count(f"{words.is_classification} {words.yes}") == 12
    assert asked.endswith(f"{words.task}: Sort these.\n{words.is_classification}")
    labels = prompts.output_first("Sort these.", shots, words, TEXT).content
    assert isinstance(labels, str)
    assert labels.count(f"{words.label}: ") == 34
    assert labels.endswith(f"{words.task}: Sort these.\n")
    others = prompts.input_first("Sing.", shots, words, TEXT).content
    assert isinstance(others, str)
    assert others.count(f"{words.task}: ") == 11 + 1
    assert "Sing." in content(prompts.input_first("Sing.", shots, words, JSON))


def test_each_example_is_a_conversation_of_its_own(tokenizer: Any) -> None:
    chat = ChatMarks.of(tokenizer, PromptFormat.chatml, EN)
    system = f"<|im_start|>system\n{EN.system}<|im_end|>\n<|im_start|>user\n"
    prompt = chat.prompt([SEED, WITH_INPUT], "List")
    assert prompt.content == (
        f"{system}Name a river.<|im_end|>\n<|im_start|>assistant\nThe Oder.<|im_end|>\n"
        f"{system}Count the words.\n\none two<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
        f"{system}List"
    )
    assert prompt.prefix == "List"
    assert prompt.stop == ("<|im_end|>\n<|im_start|>system",)


@pytest.mark.parametrize("prompt_format", PromptFormat)
def test_every_chat_format_can_be_gone_on_with(tokenizer: Any, prompt_format: PromptFormat) -> None:
    chat = ChatMarks.of(tokenizer, prompt_format, EN)
    assert chat.between.strip()
    assert chat.end.strip()
    assert len(chat.prompt([SEED], "").stop) == 1
