"""Prompt formats: one Jinja template each, for training, evaluation and export alike.

Text between `{% generation %}` and `{% endgeneration %}` is supervised: the answer and the stop
token after it. A user turn may have `input` beside `content` (Alpaca's third field): the alpaca
format gives it a section of its own, the others append it after a blank line. Without a named
format the tokenizer's own chat template is used, which must have the same marks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pacos.errors import UserError
from pacos.model.protocols import Tokenizer
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import IGNORE, TokenizedRow
from pacos.schemas import Message

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
    "{% else %}{{ m['content'] + '\\n\\n' }}{% endif %}"
    "{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Format:
    """A chat template and its stop token."""

    template: str
    stop_token: str | None
    """Token that ends an answer; None for the tokenizer's eos token."""

    def exported(self) -> str:
        """Return the template without marks, for engines that reject unknown Jinja tags."""
        return self.template.replace("{% generation %}", "").replace("{% endgeneration %}", "")


FORMATS: dict[PromptFormat, Format] = {
    PromptFormat.chatml: Format(_CHATML, "<|im_end|>"),
    PromptFormat.llama3: Format(_LLAMA3, "<|eot_id|>"),
    PromptFormat.llama2: Format(_LLAMA2, None),
    PromptFormat.alpaca: Format(_ALPACA, None),
}


@dataclass(frozen=True)
class Encoder:
    """A prompt format with a tokenizer's Rust backend.

    Worker processes get it by pickling: it is small, and they need neither torch nor the
    tokenizer's Python class.
    """

    template: str
    stop_id: int
    special_tokens: Mapping[str, Any]
    """`bos_token`, `eos_token` and others, by the names that templates use."""
    backend: Any
    """A `tokenizers.Tokenizer` that neither pads nor truncates."""
    joins_input: bool
    """Merge a turn's `input` into its content: a tokenizer's own template reads only content."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, prompt_format: PromptFormat | None) -> Encoder:
        """Return the encoder of a format, or with None of the tokenizer's own chat template.

        Raises:
            UserError: the tokenizer lacks the format's stop token. With None: it has no chat
                template, or one that does not mark answers with their stop tokens.
        """
        import tokenizers

        # A copy: the caller's tokenizer keeps its own padding and truncation.
        backend = tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        backend.no_padding()
        backend.no_truncation()
        encoder = cls(
            template=format_of(tokenizer, prompt_format).template,
            stop_id=stop_token_id(tokenizer, prompt_format),
            special_tokens=dict(tokenizer.special_tokens_map),
            backend=backend,
            joins_input=prompt_format is None,
        )
        if prompt_format is None:
            _check_marks(encoder)
        return encoder

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[TokenizedRow]:
        """Tokenize conversations and label the supervised tokens.

        Args:
            conversations: each a list of turns that ends with an assistant turn.

        Raises:
            jinja2.TemplateError: the template refuses a conversation.
        """
        texts, answers = self._rendered(conversations)
        # Templates write special tokens such as bos themselves.
        encodings = self.backend.encode_batch(texts, add_special_tokens=False)
        return [
            _labelled(encoding, spans) for encoding, spans in zip(encodings, answers, strict=True)
        ]

    def _rendered(
        self, conversations: Sequence[Sequence[Message]]
    ) -> tuple[list[str], list[list[tuple[int, int]]]]:
        """Return each conversation as text, with the character spans of its answers."""
        from transformers.utils import chat_template_utils

        # Its annotation says that it returns a single text.
        render: Any = chat_template_utils.render_jinja_template
        texts, answers = render(
            [_joined(turns) if self.joins_input else list(turns) for turns in conversations],
            chat_template=self.template,
            return_assistant_tokens_mask=True,
            **self.special_tokens,
        )
        return texts, answers

    def control_token_in(self, turns: Sequence[Message]) -> str | None:
        """Return a control token that the text of a turn contains, or None.

        Tokenizers encode `</s>` in a text as the token itself, so it would end the turn there.
        """
        for turn in turns:
            for text in (turn["content"], turn.get("input", "")):
                match = self._control_tokens.search(text)
                if match:
                    return match.group()
        return None

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        named = {self.special_tokens.get("bos_token"), self.special_tokens.get("eos_token")}
        added = {token.content for token in self.backend.get_added_tokens_decoder().values()}
        control = sorted(token for token in added if token in named or token in self.template)
        # An empty alternative would match everywhere; (?!) matches nowhere.
        return re.compile("|".join(map(re.escape, control)) or "(?!)")


def _labelled(encoding: Any, answers: Sequence[tuple[int, int]]) -> TokenizedRow:
    """Return the ids of one text, with labels on the tokens that overlap an answer."""
    ids = np.array(encoding.ids, dtype=np.int32)
    offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    labels = np.full(len(ids), IGNORE, dtype=np.int32)
    for begin, end in answers:
        first = np.searchsorted(offsets[:, 1], begin, side="right")
        last = np.searchsorted(offsets[:, 0], end, side="left")
        labels[first:last] = ids[first:last]
    # In a pack, the first token would be predicted from the row before.
    labels[:1] = IGNORE
    return TokenizedRow(ids=ids, labels=labels)


PROBE: Sequence[Message] = (
    {"role": "user", "content": "How many legs has an alpaca?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And a goose?"},
    {"role": "assistant", "content": "Two."},
)
"""A conversation with two answers, to check that a template marks each with its stop token."""


def _check_marks(encoder: Encoder) -> None:
    _, (answers,) = encoder._rendered([PROBE])
    if len(answers) != 2:
        raise _own_template_error(
            f"marks {len(answers)} of 2 answers; put {{% generation %}} before each answer and "
            "{% endgeneration %} behind the token that ends it"
        )
    (row,) = encoder.encode([PROBE])
    spans = np.split(row.labels, np.flatnonzero(np.diff(row.labels != IGNORE)) + 1)
    for answer in (span for span in spans if span[0] != IGNORE):
        if encoder.stop_id not in answer:
            stop = encoder.backend.id_to_token(encoder.stop_id)
            raise _own_template_error(
                f"does not mark the stop token {stop} after an answer, so the model would never "
                "learn to stop; put {% endgeneration %} behind it, or, if the template ends an "
                "answer with another token, make that the tokenizer's eos_token"
            )


def _own_template_error(fault: str) -> UserError:
    formats = ", ".join(PromptFormat.__members__)
    return UserError(
        f"model.prompt_format = null: the tokenizer's own chat template {fault}; "
        f"or choose one of: {formats}"
    )


def _joined(turns: Sequence[Message]) -> list[Message]:
    """Return turns with their `input` appended to their content, after a blank line."""
    return [
        {
            "role": turn["role"],
            "content": "\n\n".join(filter(None, (turn["content"], turn.get("input")))),
        }
        for turn in turns
    ]


def format_of(tokenizer: Tokenizer, prompt_format: PromptFormat | None) -> Format:
    """Return a format, or with None the tokenizer's own chat template with its eos token.

    Raises:
        UserError: the format is None and the tokenizer has no chat template.
    """
    if prompt_format is not None:
        return FORMATS[prompt_format]
    if not tokenizer.chat_template:
        raise _own_template_error("is missing; give it one")
    return Format(tokenizer.get_chat_template(), None)


def encode(
    tokenizer: Tokenizer,
    prompt_format: PromptFormat | None,
    conversations: Sequence[Sequence[Message]],
) -> list[TokenizedRow]:
    """Tokenize a few conversations and label the supervised tokens; see `Encoder`."""
    return Encoder.of(tokenizer, prompt_format).encode(conversations)


def prompt_text(
    tokenizer: Tokenizer, prompt_format: PromptFormat | None, turns: Sequence[Message]
) -> str:
    """Return the prompt for the next assistant turn."""
    text: str = tokenizer.apply_chat_template(
        _joined(turns) if prompt_format is None else list(turns),
        chat_template=format_of(tokenizer, prompt_format).template,
        tokenize=False,
        add_generation_prompt=True,
    )
    return text


def stop_token_id(tokenizer: Tokenizer, prompt_format: PromptFormat | None) -> int:
    """Return the id of the token that ends an answer.

    Raises:
        UserError: the tokenizer's vocabulary lacks the token.
    """
    name = format_of(tokenizer, prompt_format).stop_token or tokenizer.eos_token
    number = None if name is None else tokenizer.get_vocab().get(name)
    if number is None:
        shown = "null" if prompt_format is None else prompt_format.name
        raise UserError(
            f"model.prompt_format = {shown}: its stop token {name} is not in the "
            "tokenizer's vocabulary; choose a format that the model's tokenizer has"
        )
    return int(number)
