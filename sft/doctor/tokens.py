"""Checks on the first rows: which tokens are supervised, and that the model learns to stop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from pacos.configs.model import ModelConfig
from pacos.data.example import Content, Conversation, Example, RawText, RowError, TokenIds
from pacos.data.rows import RowReader
from pacos.data.sources import open_source
from pacos.errors import UserError
from pacos.model.hub import TOKENIZER_FILES
from pacos.model.loading import TOKENIZER_JSON, model_directory
from pacos.model.protocols import Tokenizer
from pacos.prompts.choice import stop_token_id
from pacos.prompts.thoughts import split_content
from pacos.prompts.tokens import EncodedRow, Reason
from pacos.text.counted import counted
from sft.config import SFTConfig
from sft.configs.data import OnError, TrainOn
from sft.data.reader import Refusal, conversation_chunks, examples
from sft.data.tokenizer import build_encoder, build_tokenizer

FIRST_ROWS = 64
"""Rows read of each data set: enough to see a template at work, in less than a second."""


@dataclass(frozen=True, slots=True)
class FirstRow:
    """A row as it was read, and as the model sees it."""

    place: str
    content: Content
    examples: list[EncodedRow]

    def supervised_spans(self) -> list[list[int]]:
        """Return the token ids of each contiguous run of supervised tokens."""
        spans = []
        for example in self.examples:
            supervised = example.reasons == Reason.trained
            edges = np.flatnonzero(np.diff(supervised, prepend=False, append=False))
            spans += [example.ids[begin:end].tolist() for begin, end in edges.reshape(-1, 2)]
        return spans

    def answers(self, *, only_last: bool) -> list[str]:
        """Return the texts that have a loss."""
        if not isinstance(self.content, Conversation):
            return [self.content.text] if isinstance(self.content, RawText) else []
        turns = self.content.turns
        numbers = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
        return [
            split_content(turns[number])[1]
            for number in (numbers[-1:] if only_last else numbers)
            if number not in self.content.untrained
        ]


def read_first_rows(config: SFTConfig, tokenizer: Tokenizer) -> Iterator[FirstRow]:
    """Yield the first rows of each data set, that of the validation too, as training reads them.

    Raises:
        UserError: a data set or one of its first rows cannot be used.
    """
    encoder = build_encoder(config, tokenizer)
    sources = [(source, "data.path, data.mix") for source in config.data.sources()]
    if (own := config.validation_source()) is not None:
        sources.append((own, "validation.path"))
    for source_config, key in sources:
        source, reader = open_source(source_config.path, key), RowReader.of(source_config)
        items = chain.from_iterable(
            examples(chunk, reader) for chunk in conversation_chunks(source, source_config.tree)
        )
        read: list[tuple[int, Example]] = []
        for item in islice(items, FIRST_ROWS):
            if not isinstance(item, Refusal):
                read.append(item)
            elif config.data.on_error is OnError.refuse:
                raise item.error(source)
        results = encoder.encode([example.content for _, example in read])
        for (number, example), result in zip(read, results, strict=True):
            if not isinstance(result, RowError):
                yield FirstRow(source.place(number), example.content, result)
            elif config.data.on_error is OnError.refuse:
                raise Refusal(number, example.id, str(result)).error(source)


PROBES = ("[INST] Hi there [/INST]", "Below is an instruction.\n\n### Response:", " 12 안녕 👋\n")
"""Texts whose tokens differ between tokenizers that differ in blanks, digits, bytes or newlines."""


def _compare_with_file(model: ModelConfig, tokenizer: Tokenizer) -> None:
    """Compare a tokenizer with the tokenizer.json beside its model.

    Raises:
        UserError: they differ in the tokens of a probe.
    """
    import tokenizers

    folder = Path(model_directory(model.path, model.revision, patterns=TOKENIZER_FILES))
    file = folder / TOKENIZER_JSON
    if not file.is_file():
        return
    published = tokenizers.Tokenizer.from_file(str(file))
    bos = tokenizer.bos_token or ""
    for probe in (*(bos + probe for probe in PROBES), *PROBES):
        ours, theirs = (
            backend.encode(probe, add_special_tokens=False).tokens
            for backend in (tokenizer.backend_tokenizer, published)
        )
        if ours != theirs:
            at = next(n for n in range(len(ours) + 1) if ours[n : n + 1] != theirs[n : n + 1])
            raise UserError(
                f"model.path = {model.path}: transformers makes {ours[at : at + 3]} of {probe!r} "
                f"where its {TOKENIZER_JSON} makes {theirs[at : at + 3]}; set tokenizer_class to "
                "PreTrainedTokenizerFast in tokenizer_config.json"
            )


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
        self._loaded = tokenizer
        _compare_with_file(model, tokenizer)
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
            if isinstance(row.content, TokenIds):
                continue
            answers = row.answers(only_last=self._config.data.train_on is TrainOn.last)
            if not spans:
                raise self._format_error(row, "has no supervised token: the mask is empty")
            if len(spans) != len(answers):
                problem = f"has {len(answers)} answers, of which {len(spans)} are supervised"
                raise self._format_error(row, problem)
            for span, answer in zip(spans, answers, strict=True):
                # Tokenizers add and drop spaces at the edges of a text.
                if "".join(answer.split()) not in "".join(span.split()):
                    raise self._format_error(row, f"supervises {span!r} instead of {answer!r}")
        examples = [example for row in self._rows for example in row.examples]
        total = sum(len(example.ids) for example in examples)
        supervised = sum(example.num_supervised for example in examples)
        rows = counted(len(self._rows), "row")
        return f"{supervised / total:.0%} of {total} tokens in {rows} supervised"

    def stop_token(self) -> str:
        """Check that the stop token is supervised once after every answer."""
        stop = stop_token_id(self._tokenizer, self._config.model.prompt_format)
        name = self._tokenizer.convert_ids_to_tokens(stop)
        answers = 0
        for row in self._rows:
            if isinstance(row.content, TokenIds):
                continue
            for span in row.supervised_spans():
                if span.count(stop) != 1:
                    problem = f"supervises {name} {span.count(stop)} times per answer, not once"
                    raise self._format_error(row, problem)
                answers += 1
        return f"{name} is supervised after each of {counted(answers, 'answer')}"

    def _format_error(self, row: FirstRow, problem: str) -> UserError:
        chosen = self._config.model.prompt_format
        shown = "null" if chosen is None else chosen.name
        return UserError(
            f"model.prompt_format = {shown}: {row.place} {problem}; choose a format whose template "
            "puts each answer and the token that ends it between generation marks"
        )
