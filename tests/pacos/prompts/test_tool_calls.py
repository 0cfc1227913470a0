"""Arguments of calls in the trained text: byte for byte, in every format that has calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pacos.data.example import Conversation, RowError
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from tests.pacos.prompts.encoding import encoded, encoder_of, spans
from tests.pacos.prompts.special_tokenizers import tokenizer_with, trl_template

TOOLS = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]

AS_TEXT = [
    "{}",
    '{"a":1}',
    '{ "a" : 1,\n  "b": [ ] }',
    '{"z": 1, "a": 2, "m": {"y": null, "b": 3}}',
    '{"n": 1.0, "e": 1e5, "big": 12345678901234567890123, "neg": -0.0}',
    '{"s": "\\u00e9 \\ud83d\\udc4b \\/ \\\\ \\" \\n", "raw": "é 👋 / <b> & \'x\'"}',
    '{"a": 1, "a": 2}',
    "not JSON at all",
    "",
]
OBJECTS = [
    {},
    {"z": 1, "a": [1, 2.5, None, True], "m": {"y": None, "b": {}}},
    {"s": "é 👋 / <b> & 'x' \"quoted\" \\ \n\t", "서울": "값"},
    {"n": 1.0, "e": 1e5, "big": 12345678901234567890123, "zero": -0.0},
]


def a_row(arguments: Any) -> Conversation:
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    turns = [
        {"role": "user", "content": "Call."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    return Conversation(turns, tools=TOOLS)


def trained_text(encoder: Encoder, row: Conversation) -> str:
    (example,) = encoded(encoder, row)
    ((begin, end),) = spans(example)
    ids = example.ids[begin:end].tolist()
    text: str = encoder.tokens.backend.decode(ids, skip_special_tokens=False)
    return text


def call_of(prompt_format: PromptFormat, arguments: str) -> str:
    if prompt_format is PromptFormat.llama3:
        return f'{{"name": "f", "parameters": {arguments}}}<|eot_id|>'
    return f'<tool_call>\n{{"name": "f", "arguments": {arguments}}}\n</tool_call><|im_end|>'


@pytest.mark.parametrize("prompt_format", [PromptFormat.llama3, PromptFormat.chatml])
@pytest.mark.parametrize("arguments", [*AS_TEXT, *OBJECTS])
def test_a_format_writes_arguments_as_the_row_has_them(
    prompt_format: PromptFormat, arguments: Any
) -> None:
    encoder = Encoder.of(tokenizer_with("<|im_end|>"), prompt_format)
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    assert trained_text(encoder, a_row(arguments)) == call_of(prompt_format, written)


@pytest.mark.parametrize("name", ["qwen3_training", "qwen3"])
@pytest.mark.parametrize("arguments", AS_TEXT[:-1])
def test_a_template_that_takes_text_writes_it_as_it_is(name: str, arguments: str) -> None:
    encoder = encoder_of(tokenizer_with("<|im_end|>"), trl_template(name))
    assert encoder.traits.text_arguments
    assert f'"arguments": {arguments}}}\n</tool_call>' in trained_text(encoder, a_row(arguments))


OBJECTS_ALONE = ["qwen2_5_training", "qwen2_5"]


@pytest.mark.parametrize("name", OBJECTS_ALONE)
@pytest.mark.parametrize("arguments", [*AS_TEXT[:6], *OBJECTS])
def test_a_template_that_takes_objects_gets_equal_ones(name: str, arguments: Any) -> None:
    encoder = encoder_of(tokenizer_with("<|im_end|>"), trl_template(name))
    assert not encoder.traits.text_arguments
    text = trained_text(encoder, a_row(arguments))
    wanted = json.loads(arguments) if isinstance(arguments, str) else arguments
    written = text.partition('"arguments": ')[2].partition("}\n</tool_call>")[0]
    assert json.dumps(json.loads(written)) == json.dumps(wanted)


@pytest.mark.parametrize("name", OBJECTS_ALONE)
@pytest.mark.parametrize("arguments", [*AS_TEXT[6:], '{"a": NaN}'])
def test_arguments_that_an_object_would_not_hold_are_refused(name: str, arguments: str) -> None:
    encoder = encoder_of(tokenizer_with("<|im_end|>"), trl_template(name))
    with pytest.raises(RowError, match="arguments of f"):
        trained_text(encoder, a_row(arguments))
