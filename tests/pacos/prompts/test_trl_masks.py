"""Masks beside those of TRL: its training templates, and its templates without marks."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

from pacos.data.example import Conversation, RowError
from pacos.errors import UserError
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.prompts.tokens import Reason
from tests.pacos.prompts.encoding import encoded, encoder_of, supervised
from tests.pacos.prompts.generated_rows import conversation
from tests.pacos.prompts.special_tokenizers import (
    split_as_llama3,
    tokenizer_with,
    trl_template,
)

ROWS = 1000


def of_trl(tokenizer: Any, template: str, row: Conversation) -> Any:
    """Ids and mask as TRL's `assistant_only_loss` makes them."""
    return tokenizer.apply_chat_template(
        row.turns,
        tools=row.tools,
        chat_template=template,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )


def same_as_trl(
    tokenizer: Any, encoder: Encoder, template: str, rng: random.Random, kinds: dict[str, bool]
) -> set[str]:
    """Compare a row's ids and mask; returns what its trained text has."""
    row = conversation(rng, **kinds)
    (ours,), theirs = encoded(encoder, row), of_trl(tokenizer, template, row)
    assert ours.ids.tolist() == theirs["input_ids"]
    trained = (ours.reasons == Reason.trained).tolist()
    assert trained == [bool(flag) for flag in theirs["assistant_masks"]]
    text = tokenizer.decode(ours.ids[trained])
    answers = [turn for turn in row.turns if turn["role"] == "assistant"]
    assert text.count(encoder.stop_token) == len(answers)
    has = {"several answers"} if len(answers) > 1 else set()
    for turn in answers:
        thought = turn.get("reasoning_content")
        assert thought is None or thought in text
        assert turn["content"] in text
        names = [call["function"]["name"] for call in turn.get("tool_calls", ())]
        assert all(name in text for name in names)
        has |= ({"thought"} if thought else set()) | ({"call"} if names else set())
    return has


ALL_KINDS = [
    {},
    {"tools": True},
    {"thoughts": True},
    {"tools": True, "thoughts": True},
    {"tools": True, "thoughts": True, "as_text": True},
]


@pytest.mark.parametrize(
    ("prompt_format", "limits"),
    [
        (PromptFormat.chatml, {}),
        # Llama 3.1's form of a call: one a turn, and no text beside it.
        (PromptFormat.llama3, {"beside": False, "several": False}),
    ],
)
def test_masks_of_a_format_are_trls(
    tokenizer: Any, prompt_format: PromptFormat, limits: dict[str, bool]
) -> None:
    own, template, rng = (
        split_as_llama3(tokenizer),
        FORMATS[prompt_format].template,
        random.Random(3),
    )
    encoder = Encoder.of(own, prompt_format)
    seen = Counter(
        part
        for number in range(ROWS)
        for part in same_as_trl(
            own, encoder, template, rng, ALL_KINDS[number % len(ALL_KINDS)] | limits
        )
    )
    assert seen["several answers"] > ROWS // 2
    assert seen["thought"] == ROWS * 3 // 5
    assert seen["call"] > ROWS // 3


@pytest.mark.parametrize(
    ("name", "eos", "kinds"),
    [
        ("llama3_training", "<|eot_id|>", [{}]),
        ("qwen2_5_training", "<|im_end|>", [{}, {"tools": True}]),
        ("qwen3_training", "<|im_end|>", ALL_KINDS[2:]),
    ],
)
def test_masks_of_training_templates_are_trls(
    tokenizer: Any, name: str, eos: str, kinds: list[dict[str, bool]]
) -> None:
    own, template, rng = split_as_llama3(tokenizer), trl_template(name), random.Random(name)
    own.eos_token = eos
    encoder = encoder_of(own, template)
    seen = Counter(
        part
        for number in range(ROWS)
        for part in same_as_trl(own, encoder, template, rng, kinds[number % len(kinds)])
    )
    assert seen["several answers"] > ROWS // 2
    assert ("thought" in seen) == any("thoughts" in kind for kind in kinds)
    assert ("call" in seen) == any("tools" in kind for kind in kinds)


@pytest.mark.parametrize(
    ("plain", "training", "eos", "kinds"),
    [
        ("llama3", "llama3_training", "<|eot_id|>", {}),
        ("qwen2_5", "qwen2_5_training", "<|im_end|>", {"tools": True}),
        ("qwen3", "qwen3_training", "<|im_end|>", {}),
        ("qwen3", "qwen3_training", "<|im_end|>", {"thoughts": True}),
        ("qwen3", "qwen3_training", "<|im_end|>", {"thoughts": True, "tools": True}),
    ],
)
def test_a_template_without_marks_gives_the_masks_of_the_one_with_them(
    plain: str, training: str, eos: str, kinds: dict[str, bool]
) -> None:
    tokenizer, rng = tokenizer_with(eos), random.Random(plain)
    unmarked = encoder_of(tokenizer, trl_template(plain))
    with_marks = encoder_of(tokenizer, trl_template(training))
    for _ in range(ROWS // 5):
        row = conversation(rng, **kinds)
        ours, theirs = encoded(unmarked, row), encoded(with_marks, row)
        assert supervised(tokenizer, ours) == supervised(tokenizer, theirs)


def test_llama31s_own_template_carries_one_call_and_no_text_beside_it() -> None:
    tokenizer, rng = tokenizer_with("<|eot_id|>"), random.Random(1)
    encoder = encoder_of(tokenizer, trl_template("llama3_1"))
    ours = Encoder.of(tokenizer, PromptFormat.llama3)
    for _ in range(ROWS // 5):
        row = conversation(rng, tools=True, beside=False, several=False)
        answers = [re.sub(r"\s+", "", run) for run in supervised(tokenizer, encoded(encoder, row))]
        own = [re.sub(r"\s+", "", run) for run in supervised(tokenizer, encoded(ours, row))]
        assert answers == own
    turns = conversation(random.Random(2)).turns
    function = {"name": "f", "arguments": {"a": 1}}
    turns[-1] |= {
        "content": "Let me look.",
        "tool_calls": [{"type": "function", "function": function}],
    }
    with pytest.raises(RowError, match="leaves out the content of turn"):
        encoded(encoder, Conversation(turns))


def test_a_generation_prompt_that_no_answer_begins_with_is_named() -> None:
    tokenizer = tokenizer_with("<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>")
    with pytest.raises(UserError, match=r"otherwise than its generation prompt begins.*<think>"):
        encoder_of(tokenizer, trl_template("deepseek_r1_distill"))
