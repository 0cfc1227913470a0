"""Checks on the first rows: which tokens are supervised, and that the model learns to stop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pacos.data.example import Conversation
from pacos.data.sources import open_source
from pacos.errors import UserError
from pacos.model.protocols import Tokenizer
from pacos.prompts.encoder import Encoder, format_of, stop_token_id
from pacos.prompts.tokens import IGNORE, TokenizedRow
from pacos.schemas import Message
from sft.config import SFTConfig
from sft.data.reader import SourceReader
from sft.data.tokenizer import build_tokenizer

FIRST_ROWS = 64
"""Rows read of each data set: enough to see a template at work, in less than a second."""


@dataclass(frozen=True, slots=True)
class FirstRow:
    """A row as it was read, and as the model sees it."""

    place: str
    messages: list[Message]
    row: TokenizedRow

    def supervised_spans(self) -> list[list[int]]:
        """Return the token ids of each contiguous run of supervised tokens."""
        supervised = np.asarray(self.row.labels) != IGNORE
        ids = np.asarray(self.row.ids)
        edges = np.flatnonzero(np.diff(supervised, prepend=False, append=False))
        return [ids[begin:end].tolist() for begin, end in edges.reshape(-1, 2)]

    def answers(self) -> list[str]:
        return [turn["content"] for turn in self.messages if turn["role"] == "assistant"]


def read_first_rows(config: SFTConfig, tokenizer: Tokenizer) -> Iterator[FirstRow]:
    """Yield the first rows of each data set, tokenized as in training.

    Raises:
        UserError: a data set or one of its first rows cannot be used.
    """
    encoder = Encoder.of(tokenizer, config.model.prompt_format)
    for path in config.data.weights():
        source = open_source(path)
        examples = SourceReader(source, config.data.on_error).examples()
        first = list(itertools.islice(examples, FIRST_ROWS))
        turns = [
            example.content.turns if isinstance(example.content, Conversation) else []
            for _, example in first
        ]
        rows = encoder.encode(turns)
        for (number, _), messages, row in zip(first, turns, rows, strict=True):
            yield FirstRow(source.place(number), messages, row)


class TokenChecks:
    """The checks on tokenizer and rows; each keeps what the next one needs."""

    def __init__(self, config: SFTConfig) -> None:
        self._config = config
        self._loaded: Tokenizer | None = None
        self._rows: list[FirstRow] = []

    def tokenizer(self) -> str:
        """Check that the tokenizer loads, and that its stop and pad tokens differ."""
        model = self._config.model
        tokenizer = build_tokenizer(model)
        name = tokenizer.convert_ids_to_tokens(stop_token_id(tokenizer, model.prompt_format))
        format_of(tokenizer, model.prompt_format)
        self._loaded = tokenizer
        pad = tokenizer.pad_token
        return f"{len(tokenizer)} tokens; {name} ends an answer, {pad} pads"

    @property
    def _tokenizer(self) -> Tokenizer:
        assert self._loaded is not None, "the other checks need this one"
        return self._loaded

    def mask(self) -> str:
        """Check that in every row all answers are supervised in full, and nothing else is."""
        self._rows = list(read_first_rows(self._config, self._tokenizer))
        for row in self._rows:
            spans = [self._tokenizer.decode(span) for span in row.supervised_spans()]
            answers = row.answers()
            if not spans:
                raise self._format_error(row, "has no supervised token: the mask is empty")
            if len(spans) != len(answers):
                problem = f"has {len(answers)} answers, of which {len(spans)} are supervised"
                raise self._format_error(row, problem)
            for span, answer in zip(spans, answers, strict=True):
                # Tokenizers add and drop spaces at the edges of a text.
                if "".join(answer.split()) not in "".join(span.split()):
                    raise self._format_error(row, f"supervises {span!r} instead of {answer!r}")
        total = sum(len(row.row.ids) for row in self._rows)
        supervised = sum(row.row.num_supervised for row in self._rows)
        return f"{supervised / total:.0%} of {total} tokens in {len(self._rows)} rows supervised"

    def stop_token(self) -> str:
        """Check that the stop token is supervised once after every answer."""
        stop = stop_token_id(self._tokenizer, self._config.model.prompt_format)
        name = self._tokenizer.convert_ids_to_tokens(stop)
        answers = 0
        for row in self._rows:
            for span in row.supervised_spans():
                if span.count(stop) != 1:
                    problem = f"supervises {name} {span.count(stop)} times per answer, not once"
                    raise self._format_error(row, problem)
                answers += 1
        return f"{name} is supervised after each of {answers} answers"

    def _format_error(self, row: FirstRow, problem: str) -> UserError:
        chosen = self._config.model.prompt_format
        shown = "null" if chosen is None else chosen.name
        return UserError(
            f"model.prompt_format = {shown}: {row.place} {problem}; choose a format whose template "
            "puts each answer and the token that ends it between generation marks"
        )
