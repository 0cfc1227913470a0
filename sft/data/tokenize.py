"""Conversations to tokens: the policy for long rows, and tokenization on all cores."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pacos.data.example import RowError
from pacos.prompts.encoder import Encoder
from pacos.prompts.tokens import TokenizedRow
from pacos.rank import end_with_parent
from pacos.run.stop import SIGNALS
from pacos.schemas import Message
from sft.configs.data import TooLong

CHUNK = 500
"""Rows sent to a worker process at a time: about 0.15 s of work."""

SERIAL_CHUNKS = 4
"""Chunks up to which this process works alone: starting a worker takes 1.5 s, longer than the work
itself."""

Conversation = list[Message]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TokenizeResult:
    """The outcome for one conversation."""

    row: TokenizedRow | None
    """Its tokens; None if it is left out."""
    too_long: str | None = None
    """The reason, if all or part of it was left out for its length."""
    error: str | None = None
    """The reason, if it cannot be used."""


@dataclass(frozen=True, slots=True)
class RowTokenizer:
    """Tokenizes conversations and enforces the maximum length."""

    encoder: Encoder
    max_length: int
    """Tokens of the longest row allowed."""
    policy: TooLong

    def tokenize(self, conversations: Sequence[Conversation]) -> list[TokenizeResult]:
        """Tokenize each conversation; an unusable one becomes an error in its place."""
        return [
            self._result(turns, row)
            for turns, row in zip(conversations, self._encode(conversations), strict=True)
        ]

    def _encode(self, conversations: Sequence[Conversation]) -> list[TokenizedRow | RowError]:
        from jinja2 import TemplateError

        try:
            return [*self.encoder.encode(conversations)]
        except TemplateError as error:
            if len(conversations) == 1:
                return [RowError(f"the chat template refuses it: {error}")]
            # A template error does not say which conversation caused it: retry one by one.
            return [row for turns in conversations for row in self._encode([turns])]

    def _result(self, turns: Conversation, row: TokenizedRow | RowError) -> TokenizeResult:
        if isinstance(row, RowError):
            return TokenizeResult(None, error=str(row))
        control = self.encoder.control_token_in(turns)
        if control is not None:
            reason = f"its text holds the control token {control}, which would end or begin a turn"
            return TokenizeResult(None, error=reason)
        if row.num_supervised == 0:
            return TokenizeResult(None, error="it has no supervised token")
        if len(row.ids) <= self.max_length:
            return TokenizeResult(row)
        return self._shorten(turns, len(row.ids))

    def _shorten(self, turns: Conversation, tokens: int) -> TokenizeResult:
        exchanges = sum(turn["role"] == "assistant" for turn in turns)
        if self.policy is TooLong.cut_turns:
            for left_out in range(1, exchanges):
                # An exchange is a user turn and the answer to it: two turns.
                (row,) = self.encoder.encode([turns[: -2 * left_out]])
                if len(row.ids) <= self.max_length:
                    reason = (
                        f"{tokens} tokens: the last {left_out} of {exchanges} exchanges left out"
                    )
                    return TokenizeResult(row, too_long=reason)
        return TokenizeResult(None, too_long=f"{tokens} tokens: left out")


def tokenize_all(
    tokenizer: RowTokenizer, conversations: Iterable[Conversation]
) -> Iterator[TokenizeResult]:
    """Yield one result per conversation, in order; use one process per core if there are many."""
    chunks = _chunks(conversations)
    first = list(itertools.islice(chunks, SERIAL_CHUNKS))
    if len(first) < SERIAL_CHUNKS:
        for chunk in first:
            yield from tokenizer.tokenize(chunk)
        return
    processes = len(os.sched_getaffinity(0))
    pool = ProcessPoolExecutor(
        processes,
        # A fork would copy locks that threads of torch and of the process group may hold.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(tokenizer,),
    )
    try:
        pending: deque[Future[list[TokenizeResult]]] = deque()
        for chunk in itertools.chain(first, chunks):
            pending.append(pool.submit(_tokenize_chunk, chunk))
            # Bounded, so that a source larger than memory is not read ahead of the workers.
            if len(pending) > 3 * processes:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk


_worker_tokenizer: RowTokenizer
"""Set once in each worker process, so that it is pickled once and not with every chunk."""


def _start_worker(tokenizer: RowTokenizer) -> None:
    global _worker_tokenizer
    _worker_tokenizer = tokenizer
    # Every core has a worker already; the tokenizer's own threads would only compete with them.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    end_with_parent()
    for number in SIGNALS:
        # The rank that started this process decides when to stop.
        signal.signal(number, signal.SIG_IGN)


def _tokenize_chunk(chunk: Sequence[Conversation]) -> list[TokenizeResult]:
    return _worker_tokenizer.tokenize(chunk)
