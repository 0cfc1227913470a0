"""Rows through the encoder of a chat template."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from pacos.data.example import Conversation, RowError
from pacos.prompts.encoder import Encoder
from pacos.prompts.tokens import EncodedRow, Reason


def encoder_of(tokenizer: Any, template: str, **options: bool) -> Encoder:
    """Return the encoder of a tokenizer with another chat template."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template
    return Encoder.of(tokenizer, None, **options)


def encoded(encoder: Encoder, row: Conversation) -> list[EncodedRow]:
    """Return the examples of a row.

    Raises:
        RowError: it cannot be used.
    """
    (result,) = encoder.encode([row])
    if isinstance(result, RowError):
        raise result
    return result


def spans(example: EncodedRow, reason: Reason = Reason.trained) -> list[tuple[int, int]]:
    """Return begin and end of each run of tokens with a reason."""
    flags = example.reasons == reason
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).reshape(-1, 2)
    return [(int(begin), int(end)) for begin, end in edges]


def supervised(tokenizer: Any, examples: list[EncodedRow]) -> list[str]:
    """Return the supervised runs as text, without blanks around them."""
    return [
        tokenizer.decode(example.ids[begin:end]).strip()
        for example in examples
        for begin, end in spans(example)
    ]
