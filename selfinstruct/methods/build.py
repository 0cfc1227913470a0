"""Build the method of a config."""

from __future__ import annotations

from pacos.model.loading import load_tokenizer
from selfinstruct.config import SelfInstructConfig
from selfinstruct.methods.alpaca import Alpaca
from selfinstruct.methods.method import Method
from selfinstruct.methods.self_instruct import SelfInstruct
from selfinstruct.requests.prompts import ChatMarks, Style
from selfinstruct.requests.wording import WORDINGS


def build_method(config: SelfInstructConfig) -> Method:
    """Return the method of a config; loads the tokenizer if tasks are written as conversations."""
    method, generator = config.method, config.generator
    style = Style(generator.is_chat, generator.is_structured and method.structured)
    if not method.has_one_step:
        return SelfInstruct(method, style, generator.request, config.seed)
    chat_marks: dict[str, ChatMarks] = {}
    if method.as_conversations:
        assert generator.model is not None
        assert generator.prompt_format is not None
        tokenizer = load_tokenizer(generator.model, key="generator.model")
        for lang in config.languages():
            chat_marks[lang] = ChatMarks.of(tokenizer, generator.prompt_format, WORDINGS[lang])
    return Alpaca(method, style, generator.request, config.seed, chat_marks)
