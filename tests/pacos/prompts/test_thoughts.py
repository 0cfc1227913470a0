"""Thoughts are trained as the row has them; a thought that the template made up never is."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from pacos.data.example import Conversation, Turn
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import EncodedRow, Reason
from tests.pacos.prompts.encoding import encoded, encoder_of, spans, supervised
from tests.pacos.prompts.generated_rows import conversation
from tests.pacos.prompts.special_tokenizers import tokenizer_with, trl_template

QUESTION: Turn = {"role": "user", "content": "2 + 2?"}
ANSWER: Turn = {"role": "assistant", "content": "4"}
TEMPLATES = [
    *("qwen3", "qwen3_training", "qwen3_5_think", "qwen3_5_think_training", "qwen3_6"),
    *("qwen3_6_training", "qwen3_8", "qwen3_8_training", "nemotron_3_nano_training"),
]
EMPTY: list[Turn] = [
    ANSWER,
    {**ANSWER, "reasoning_content": ""},
    {**ANSWER, "reasoning_content": " \n"},
    {**ANSWER, "content": "<think>\n\n</think>\n\n4"},
    {**ANSWER, "content": "<think></think>4"},
]


def an_encoder(name: str, **options: bool) -> Encoder:
    if name in PromptFormat.__members__:
        eos = "<|eot_id|>" if name == "llama3" else "<|im_end|>"
        return Encoder.of(tokenizer_with(eos), PromptFormat[name], **options)
    return encoder_of(tokenizer_with("<|im_end|>"), trl_template(name), **options)


def text_of(encoder: Encoder, example: EncodedRow, reason: Reason) -> list[str]:
    backend: Any = encoder.tokens.backend
    return [
        backend.decode(example.ids[begin:end].tolist(), skip_special_tokens=False)
        for begin, end in spans(example, reason)
    ]


@pytest.mark.parametrize("name", ["llama3", "chatml", *TEMPLATES])
@pytest.mark.parametrize("turn", EMPTY)
def test_an_empty_thought_is_never_trained(name: str, turn: Turn) -> None:
    encoder = an_encoder(name)
    for before in ([], [QUESTION, {**ANSWER, "content": "Four."}]):
        examples = encoded(encoder, Conversation([*before, QUESTION, turn]))
        trained = [run for one in examples for run in text_of(encoder, one, Reason.trained)]
        assert trained[-1].strip() == f"4{encoder.stop_token}"
        assert len(trained) == 1 + len(before) // 2
        assert not any("think>" in run for run in trained)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_thought_is_trained_in_conversations_without_any(name: str) -> None:
    encoder, rng = an_encoder(name), random.Random(name)
    tokenizer = tokenizer_with("<|im_end|>")
    for _ in range(50):
        examples = encoded(encoder, conversation(rng, tools="nemotron" not in name))
        assert not any("think>" in run for run in supervised(tokenizer, examples))


@pytest.mark.parametrize("name", ["llama3", "chatml", "qwen3", "qwen3_training", "qwen3_5_think"])
def test_thoughts_can_be_left_untrained(name: str) -> None:
    turns = [QUESTION, {**ANSWER, "reasoning_content": "Say </think> or not: two and two."}]
    with_thought, without = (an_encoder(name, train_on_reasoning=flag) for flag in (True, False))
    (both,), (alone,) = (encoded(one, Conversation(turns)) for one in (with_thought, without))
    assert both.ids.tolist() == alone.ids.tolist()
    assert "two and two." in text_of(with_thought, both, Reason.trained)[0]
    (answer,) = text_of(without, alone, Reason.trained)
    # TRL's marks hold the newline after the stop token.
    assert answer.strip() == f"4{without.stop_token}"
    (thought,) = text_of(without, alone, Reason.thought)
    assert "two and two." in thought
    assert re.search(r"</think>\s*$", thought)


@pytest.mark.parametrize("name", ["llama3", "chatml", "qwen3"])
def test_a_thought_inside_the_content_is_a_thought(name: str) -> None:
    inside = {**ANSWER, "content": "<think>\nTwo and two.\n</think>\n\n4"}
    beside = {**ANSWER, "reasoning_content": "Two and two."}
    for flag in (True, False):
        encoder = an_encoder(name, train_on_reasoning=flag)
        (one,), (other,) = (
            encoded(encoder, Conversation([QUESTION, turn])) for turn in (inside, beside)
        )
        assert one.ids.tolist() == other.ids.tolist()
        assert one.reasons.tolist() == other.reasons.tolist()
