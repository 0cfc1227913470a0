"""Answers of a template without marks: found where the marks would be, as generation sees them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pacos.data.example import Conversation
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import FORMATS, MARK, PromptFormat
from tests.pacos.prompts.encoding import encoded, encoder_of, spans
from tests.pacos.prompts.generated_rows import conversation
from tests.pacos.prompts.special_tokenizers import tokenizer_with, trl_template

ROWS = 100
ONE_CALL = {"tools": True, "beside": False, "several": False}


@pytest.mark.parametrize(
    ("prompt_format", "eos", "kinds"),
    [
        (PromptFormat.alpaca, "<|end_of_text|>", [{}]),
        (PromptFormat.llama2, "<|end_of_text|>", [{}]),
        (PromptFormat.llama3, "<|eot_id|>", [{}, ONE_CALL, {**ONE_CALL, "thoughts": True}]),
        (PromptFormat.chatml, "<|im_end|>", [{}, {"tools": True}, {"thoughts": True}]),
    ],
)
def test_a_format_without_its_marks_gives_the_same_masks(
    prompt_format: PromptFormat, eos: str, kinds: list[dict[str, bool]]
) -> None:
    tokenizer, rng = tokenizer_with(eos), random.Random(5)
    with_marks = Encoder.of(tokenizer, prompt_format)
    unmarked = encoder_of(tokenizer, FORMATS[prompt_format].exported())
    assert with_marks.template.has_marks
    assert not unmarked.template.has_marks
    for number in range(ROWS):
        row = conversation(rng, **kinds[number % len(kinds)])
        (ours,), (derived,) = encoded(with_marks, row), encoded(unmarked, row)
        assert derived.ids.tolist() == ours.ids.tolist()
        assert derived.reasons.tolist() == ours.reasons.tolist()


@pytest.mark.parametrize(
    ("name", "eos", "kinds"),
    [
        ("llama3_training", "<|eot_id|>", {}),
        ("qwen2_5_training", "<|im_end|>", {"tools": True}),
        ("qwen3_training", "<|im_end|>", {"tools": True, "thoughts": True}),
        ("qwen3_5_think_training", "<|im_end|>", {"thoughts": True}),
    ],
)
def test_a_template_without_its_marks_gives_the_same_answers(
    name: str, eos: str, kinds: dict[str, bool]
) -> None:
    tokenizer, rng = tokenizer_with(eos), random.Random(name)
    with_marks = encoder_of(tokenizer, trl_template(name))
    unmarked = encoder_of(tokenizer, MARK.sub("", trl_template(name)))
    assert with_marks.template.has_marks
    assert not unmarked.template.has_marks
    for _ in range(ROWS):
        row = conversation(rng, **kinds)
        (ours,), (derived,) = encoded(with_marks, row), encoded(unmarked, row)
        assert derived.ids.tolist() == ours.ids.tolist()
        for marked, found in zip(spans(ours), spans(derived), strict=True):
            # TRL's marks hold some of the generation prompt, and the newline after the stop token.
            before, after = (
                tokenizer.decode(ours.ids[begin:end])
                for begin, end in ((marked[0], found[0]), (found[1], marked[1]))
            )
            assert before in ("", "\n", "<think>\n")
            assert after in ("", "\n")


def seen_by_generation(tokenizer: Any, template: str, row: Conversation, turn: int) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(
        row.turns[:turn],
        tools=row.tools,
        chat_template=template,
        add_generation_prompt=True,
        return_dict=True,
    )["input_ids"]
    return ids


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "qwen3_6"])
@pytest.mark.parametrize("kinds", [{"thoughts": True}, {"tools": True, "thoughts": True}])
def test_templates_that_drop_old_thoughts_give_one_example_per_answer(
    name: str, kinds: dict[str, bool]
) -> None:
    tokenizer, rng = tokenizer_with("<|im_end|>"), random.Random(name)
    template = trl_template(name)
    encoder = encoder_of(tokenizer, template)
    several = 0
    for _ in range(ROWS):
        row = conversation(rng, **kinds)
        answers = [n for n, turn in enumerate(row.turns) if turn["role"] == "assistant"]
        examples = encoded(encoder, row)
        several += len(examples) > 1
        trained = [(example, begin, end) for example in examples for begin, end in spans(example)]
        # Each answer is trained once, after exactly the prompt that asks for it.
        assert len(trained) == len(answers)
        for number, (example, begin, end) in zip(answers, trained, strict=True):
            prompt = seen_by_generation(tokenizer, template, row, number)
            assert example.ids[:begin].tolist() == prompt
            text = tokenizer.decode(example.ids[begin:end])
            turn = row.turns[number]
            # The generation prompt of some opens the thought.
            assert turn["reasoning_content"].strip() in text
            assert turn["content"].strip() in text
            assert text.endswith("<|im_end|>")
            for call in turn.get("tool_calls", ()):
                assert call["function"]["name"] in text
    assert several > ROWS // 2


def test_only_the_last_answer_needs_only_its_example() -> None:
    tokenizer, rng = tokenizer_with("<|im_end|>"), random.Random(2)
    encoder = encoder_of(tokenizer, trl_template("qwen3"), only_last=True)
    for _ in range(ROWS):
        row = conversation(rng, thoughts=True)
        (example,) = encoded(encoder, row)
        ((begin, end),) = spans(example)
        text = tokenizer.decode(example.ids[begin:end])
        thought = row.turns[-1]["reasoning_content"].strip()
        assert text == f"<think>\n{thought}\n</think>\n\n{row.turns[-1]['content']}<|im_end|>"
