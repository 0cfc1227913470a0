"""Prompt formats: one Jinja template each, used for training, evaluation and export alike.

Text between `{% generation %}` and `{% endgeneration %}` is what the model has to learn: the answer
and the stop token after it. A user turn may carry `input` beside `content` (Alpaca's third field):
the alpaca format gives it a section of its own, the others append it after a blank line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pacos.config import PromptFormat
from pacos.errors import UserError
from pacos.schemas import Message

IGNORE = -100
"""Label of a token that carries no loss (torch's ignore_index)."""

_USER_TEXT = "{{ m['content'] }}{% if m.get('input') %}{{ '\\n\\n' + m['input'] }}{% endif %}"

_CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}" + _USER_TEXT + "{{ '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_LLAMA3 = (
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}"
    "{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}" + _USER_TEXT + "{{ '<|eot_id|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

_LLAMA2 = (
    "{% set ns = namespace(system='') %}"
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}"
    "{% set ns.system = '<<SYS>>\\n' + m['content'] + '\\n<</SYS>>\\n\\n' %}"
    "{% elif m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + ns.system }}" + _USER_TEXT + "{{ ' [/INST]' }}"
    "{% set ns.system = '' %}"
    "{% else %}"
    "{% generation %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endgeneration %}"
    "{% endif %}"
    "{% endfor %}"
)

_ALPACA = (
    "{{ bos_token }}"
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}"
    "{% if m.get('input') %}"
    "{{ 'Below is an instruction that describes a task, paired with an input that provides further"
    " context. Write a response that appropriately completes the request.\\n\\n' }}"
    "{{ '### Instruction:\\n' + m['content'] + '\\n\\n### Input:\\n' + m['input'] }}"
    "{% else %}"
    "{{ 'Below is an instruction that describes a task. Write a response that appropriately"
    " completes the request.\\n\\n' }}"
    "{{ '### Instruction:\\n' + m['content'] }}"
    "{% endif %}"
    "{{ '\\n\\n### Response:' }}"
    "{% elif m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}"
    "{% endif %}"
    "{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Format:
    """A template, and the token that ends an answer (None: the tokenizer's own eos token)."""

    template: str
    stop_token: str | None

    def exported(self) -> str:
        """The template as a plain chat template, for engines that do not know the marks."""
        return self.template.replace("{% generation %}", "").replace("{% endgeneration %}", "")


FORMATS: dict[PromptFormat, Format] = {
    PromptFormat.chatml: Format(_CHATML, "<|im_end|>"),
    PromptFormat.llama3: Format(_LLAMA3, "<|eot_id|>"),
    PromptFormat.llama2: Format(_LLAMA2, None),
    PromptFormat.alpaca: Format(_ALPACA, None),
}


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """A conversation as the model sees it."""

    ids: list[int]
    labels: list[int]
    """As long as `ids`: the id where it carries loss, else IGNORE; the first is always IGNORE."""

    @property
    def num_supervised(self) -> int:
        """Tokens that carry loss."""
        return sum(label != IGNORE for label in self.labels)


def encode(
    tokenizer: Any, prompt_format: PromptFormat, conversations: Sequence[Sequence[Message]]
) -> list[TokenizedRow]:
    """Tokenise conversations and mark what carries loss.

    Args:
        tokenizer: a fast tokenizer of transformers.
        prompt_format: which template to write them out with.
        conversations: each a list of turns that ends with the assistant's.
    """
    encoded = tokenizer.apply_chat_template(
        [list(turns) for turns in conversations],
        chat_template=FORMATS[prompt_format].template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        add_generation_prompt=False,
    )
    rows = []
    for ids, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        labels = [token if kept else IGNORE for token, kept in zip(ids, mask, strict=True)]
        labels[0] = IGNORE
        rows.append(TokenizedRow(ids=list(ids), labels=labels))
    return rows


def prompt_text(tokenizer: Any, prompt_format: PromptFormat, turns: Sequence[Message]) -> str:
    """The text that asks the model for the next assistant turn."""
    text: str = tokenizer.apply_chat_template(
        list(turns),
        chat_template=FORMATS[prompt_format].template,
        tokenize=False,
        add_generation_prompt=True,
    )
    return text


def stop_token_id(tokenizer: Any, prompt_format: PromptFormat) -> int:
    """Id of the token that ends an answer.

    Raises:
        UserError: the tokenizer has no such token.
    """
    name = FORMATS[prompt_format].stop_token or tokenizer.eos_token
    number = tokenizer.get_vocab().get(name)
    if number is None:
        raise UserError(
            f"model.prompt_format = {prompt_format.name}: its stop token {name} is not in the "
            "tokenizer's vocabulary; choose a format that the model's tokenizer has"
        )
    return int(number)
