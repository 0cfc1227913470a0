"""Proofs about the first rows: what of them is learnt, and that the model learns to stop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pacos.data.sources import open_source
from pacos.errors import UserError
from pacos.model.prompts import IGNORE, Encoder, TokenizedRow, format_of, stop_token_id
from pacos.schemas import Message
from sft.config import SFTConfig
from sft.data.reader import SourceReader
from sft.data.tokenizer import build_tokenizer

FIRST_ROWS = 64
"""Of each data set: enough to see a template at work, in less than a second."""


@dataclass(frozen=True, slots=True)
class Written:
    """A row as it was read and as the model sees it."""

    place: str
    messages: list[Message]
    row: TokenizedRow

    def learnt(self) -> list[list[int]]:
        """The runs of tokens that carry loss."""
        carries = np.asarray(self.row.labels) != IGNORE
        ids = np.asarray(self.row.ids)
        edges = np.flatnonzero(np.diff(carries, prepend=False, append=False))
        return [ids[begin:end].tolist() for begin, end in edges.reshape(-1, 2)]

    def answers(self) -> list[str]:
        return [turn["content"] for turn in self.messages if turn["role"] == "assistant"]


def read_first_rows(config: SFTConfig, tokenizer: Any) -> Iterator[Written]:
    """The first rows of each data set, tokenised as in training.

    Raises:
        UserError: a data set or one of its first rows cannot be used.
    """
    encoder = Encoder.of(tokenizer, config.model.prompt_format)
    for path in config.data.weights():
        source = open_source(path)
        examples = SourceReader(source, config.data.on_error).examples()
        first = list(itertools.islice(examples, FIRST_ROWS))
        rows = encoder.encode([example.messages for _, example in first])
        for (number, example), row in zip(first, rows, strict=True):
            yield Written(source.place(number), example.messages, row)


class Tokens:
    """The tokenizer and the first rows, read when they are first needed."""

    def __init__(self, config: SFTConfig) -> None:
        self._config = config
        self._tokenizer: Any = None
        self._rows: list[Written] = []

    def tokenizer(self) -> str:
        """The tokenizer loads, and its stop and pad tokens are two."""
        model = self._config.model
        tokenizer = build_tokenizer(model)
        name = tokenizer.convert_ids_to_tokens(stop_token_id(tokenizer, model.prompt_format))
        format_of(tokenizer, model.prompt_format)
        self._tokenizer = tokenizer
        pad = tokenizer.pad_token
        return f"{len(tokenizer)} tokens; {name} ends an answer, {pad} pads"

    def mask(self) -> str:
        """Of every row the answers carry loss, whole, and nothing else does."""
        self._rows = list(read_first_rows(self._config, self._tokenizer))
        for written in self._rows:
            said = [self._tokenizer.decode(run) for run in written.learnt()]
            answers = written.answers()
            if not said:
                raise self._format_error(written, "carries no loss: the mask is empty")
            if len(said) != len(answers):
                what = f"has {len(answers)} answers, of which {len(said)} carry loss"
                raise self._format_error(written, what)
            for text, answer in zip(said, answers, strict=True):
                if "".join(answer.split()) not in "".join(text.split()):
                    raise self._format_error(written, f"learns {text!r} in place of {answer!r}")
        total = sum(len(written.row.ids) for written in self._rows)
        learnt = sum(written.row.num_supervised for written in self._rows)
        return f"{learnt / total:.0%} of {total} tokens in {len(self._rows)} rows carry loss"

    def stop_token(self) -> str:
        """The token that ends an answer is learnt after every answer, and once."""
        stop = stop_token_id(self._tokenizer, self._config.model.prompt_format)
        name = self._tokenizer.convert_ids_to_tokens(stop)
        count = 0
        for written in self._rows:
            for run in written.learnt():
                if run.count(stop) != 1:
                    what = f"learns {name} {run.count(stop)} times after an answer, not once"
                    raise self._format_error(written, what)
                count += 1
        return f"{name} carries loss after each of {count} answers"

    def _format_error(self, written: Written, what: str) -> UserError:
        chosen = self._config.model.prompt_format
        shown = "null" if chosen is None else chosen.name
        return UserError(
            f"model.prompt_format = {shown}: {written.place} {what}; choose a format whose "
            "answers, with the token that ends them, stand between generation marks"
        )
