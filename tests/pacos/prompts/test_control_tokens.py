"""A special token in a row's text is refused by name, wherever it stands and whosever it is."""

from __future__ import annotations

from typing import Any

import pytest

from pacos.data.example import Content, Conversation, RawText, RowError
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from tests.pacos.prompts.generated_rows import TOOLS
from tests.pacos.prompts.special_tokenizers import SPECIAL, tokenizer_with, with_special_tokens


def rows_with(token: str) -> dict[str, Content]:
    """Rows that hold a text in each of the places that a row has."""
    user, held = {"role": "user", "content": "Hi"}, f"a {token} b"
    assistant = {"role": "assistant", "content": "Hello"}
    function = {"name": "get_time", "arguments": {"city": held}}
    as_text = {**function, "arguments": f'{{"city": "{held}"}}'}

    def calling(function: dict[str, Any]) -> Conversation:
        calls = [{"type": "function", "function": function}]
        turns = [user, {**assistant, "content": "", "tool_calls": calls}]
        return Conversation(turns, tools=TOOLS)

    described = {**TOOLS[0], "function": {"name": "f", "description": held, "parameters": {}}}
    return {
        "system": Conversation([{"role": "system", "content": held}, user, assistant]),
        "user": Conversation([{**user, "content": held}, assistant]),
        "input": Conversation([{**user, "input": held}, assistant]),
        "answer": Conversation([user, {**assistant, "content": held}]),
        "thought": Conversation([user, {**assistant, "reasoning_content": held}]),
        "tool": Conversation([user, assistant], tools=[described]),
        "result": Conversation([user, {"role": "tool", "content": held}, assistant]),
        "arguments": calling(function),
        "arguments as text": calling(as_text),
        "text": RawText(prompt="", text=held),
        "prompt": RawText(prompt=held, text="Hello"),
    }


def refusals(encoder: Encoder, token: str) -> dict[str, str]:
    rows = rows_with(token)
    results = encoder.encode([*rows.values()])
    return {
        place: str(result)
        for place, result in zip(rows, results, strict=True)
        if isinstance(result, RowError)
    }


@pytest.mark.parametrize("prompt_format", [PromptFormat.llama3, PromptFormat.chatml])
@pytest.mark.parametrize("eos", ["<|eot_id|>", "<|im_end|>", "<|end_of_text|>"])
def test_every_special_token_is_refused_in_every_place(
    prompt_format: PromptFormat, eos: str
) -> None:
    encoder = Encoder.of(tokenizer_with(eos), prompt_format)
    for token in SPECIAL:
        refused = refusals(encoder, token)
        assert list(refused) == list(rows_with(token))
        for reason in refused.values():
            assert reason.startswith(f"its text holds the control token {token}, ")
    assert refusals(encoder, "<|im_ende|>") == {}


def test_tokens_that_no_format_uses_are_refused_too(tokenizer: Any) -> None:
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    special = [token.content for token in added if token.special]
    assert {"<repo_name>", "<file_sep>", "<|endoftext|>"} <= {*special}
    for prompt_format in (PromptFormat.chatml, PromptFormat.alpaca):
        encoder = Encoder.of(tokenizer, prompt_format)
        for token in special:
            assert f"control token {token}," in refusals(encoder, token)["answer"]


def test_tokens_of_a_template_that_are_not_declared_special_are_refused(tokenizer: Any) -> None:
    from tokenizers import AddedToken

    own = with_special_tokens(tokenizer)
    own.add_tokens([AddedToken("[USER]", special=False), AddedToken("[OTHER]", special=False)])
    own.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[USER]' + m['content'] }}"
        "{% else %}{{ '\n' + m['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '\n' }}{% endif %}"
    )
    encoder = Encoder.of(own, None)
    assert "control token [USER]," in refusals(encoder, "[USER]")["answer"]
    # A word that the vocabulary was extended by.
    assert "answer" not in refusals(encoder, "[OTHER]")
