"""Conversations to tokens: the policy for long rows, and tokenization on all cores."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from pacos.data.example import Content, Conversation, RowError
from pacos.prompts.encoder import Encoder
from pacos.prompts.tokens import TokenizedRow
from pacos.rank import end_with_parent
from pacos.run.stop import SIGNALS
from sft.configs.data import TooLong

CHUNK = 500
"""Rows sent to a worker process at a time: about 0.15 s of work."""

SERIAL_CHUNKS = 4
"""Chunks up to which this process works alone: starting a worker takes 1.5 s, longer than the work
itself."""

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

    def tokenize(self, conversations: Sequence[Content]) -> list[TokenizeResult]:
        """Tokenize each conversation; an unusable one becomes an error in its place."""
        return [
            self._result(content, row)
            for content, row in zip(conversations, self._encode(conversations), strict=True)
        ]

    def _encode(self, conversations: Sequence[Content]) -> list[TokenizedRow | RowError]:
        results = self.encoder.encode(conversations)
        rows: list[TokenizedRow | RowError] = []
        for result in results:
            if isinstance(result, RowError):
                rows.append(result)
            elif len(result) > 1:
                rows.append(RowError("the chat template rewrites earlier turns"))
            else:
                rows.append(TokenizedRow(result[0].ids, result[0].labels))
        return rows

    def _result(self, content: Content, row: TokenizedRow | RowError) -> TokenizeResult:
        if isinstance(row, RowError):
            return TokenizeResult(None, error=str(row))
        if row.num_supervised == 0:
            return TokenizeResult(None, error="it has no supervised token")
        if len(row.ids) <= self.max_length:
            return TokenizeResult(row)
        return self._shorten(content, len(row.ids))

    def _shorten(self, content: Content, tokens: int) -> TokenizeResult:
        if self.policy is TooLong.cut_turns and isinstance(content, Conversation):
            turns = content.turns
            exchanges = sum(turn["role"] == "assistant" for turn in turns)
            for left_out in range(1, exchanges):
                # An exchange is a user turn and the answer to it: two turns.
                (row,) = self._encode([replace(content, turns=turns[: -2 * left_out])])
                if not isinstance(row, RowError) and len(row.ids) <= self.max_length:
                    reason = (
                        f"{tokens} tokens: the last {left_out} of {exchanges} exchanges left out"
                    )
                    return TokenizeResult(row, too_long=reason)
        return TokenizeResult(None, too_long=f"{tokens} tokens: left out")


def tokenize_all(
    tokenizer: RowTokenizer, conversations: Iterable[Content]
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


def _tokenize_chunk(chunk: Sequence[Content]) -> list[TokenizeResult]:
    return _worker_tokenizer.tokenize(chunk)
