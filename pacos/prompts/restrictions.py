"""Rows that a format cannot carry, and control tokens in their text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pacos.data.example import Content, Conversation, RawText, RowError
from pacos.prompts.choice import PROBE
from pacos.prompts.formats import PromptFormat
from pacos.prompts.rendering import ChatTemplate
from pacos.prompts.thoughts import split_content


def check_only_text(content: Conversation, prompt_format: PromptFormat) -> None:
    """Refuse what a format for plain conversations has no form for.

    Raises:
        RowError: the conversation has tools, calls or thoughts, or turns in another order.
    """
    refused = "tools" if content.tools else None
    for turn in content.turns:
        refused = refused or next(
            (key for key in ("tool_calls", "reasoning_content") if turn.get(key)), None
        )
        if turn["role"] == "tool":
            refused = refused or "turns of the role tool"
    if refused is not None:
        raise RowError(
            f"prompt_format={prompt_format.name} cannot carry {refused}; choose llama3 or chatml, "
            "or set model.chat_template"
        )
    first = 1 if content.turns[0]["role"] == "system" else 0
    for number, turn in enumerate(content.turns[first:]):
        expected = ("user", "assistant")[number % 2]
        if turn["role"] != expected:
            raise RowError(
                f"turn {first + number + 1} is the {turn['role']}'s, but with "
                f"prompt_format={prompt_format.name} it must be the {expected}'s: user and "
                "assistant alternate, after at most one system turn; choose llama3 or chatml"
            )


def control_tokens(backend: Any, template: ChatTemplate) -> re.Pattern[str]:
    """Return a pattern of the tokens that must not stand in a row's text.

    Tokenizers encode `</s>` in a text as the token itself, so it would end the turn there.

    Args:
        backend: a `tokenizers.Tokenizer`.
        template: of the conversations.
    """
    named = {template.special_tokens.get(name) for name in ("bos_token", "eos_token")}
    # Some tokenizers do not declare the tokens of their template as special.
    marks = template.render(PROBE)
    for turn in PROBE:
        marks = marks.replace(turn["content"], "")
    # Not a control token: a content may begin with its thought.
    marks = re.sub(r"</?think>", "", marks)
    control = [
        token.content
        for token in backend.get_added_tokens_decoder().values()
        if token.content.strip()
        and (token.special or token.content in named or token.content in marks)
    ]
    # The longest first, so that it is the one named. (?!) matches nowhere.
    control.sort(key=len, reverse=True)
    return re.compile("|".join(map(re.escape, control)) or "(?!)")


def texts_of(content: Content) -> Iterator[str]:
    """Yield every text of a row, as its author wrote it."""
    if isinstance(content, RawText):
        yield from (content.prompt, content.text)
    elif isinstance(content, Conversation):
        if content.tools:
            yield json.dumps(content.tools, ensure_ascii=False)
        for turn in content.turns:
            if turn["role"] != "assistant":
                yield turn["content"]
                yield turn.get("input") or ""
                continue
            thoughts, text = split_content(turn)
            yield from (*thoughts, text)
            if turn.get("tool_calls"):
                yield json.dumps(turn["tool_calls"], ensure_ascii=False)
