"""Conversations as tokens: what is too long by policy, and all of it on all cores."""

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

from pacos.data.rows import RowError
from pacos.model.prompts import Encoder, TokenizedRow
from pacos.rank import end_with_parent
from pacos.run.stop import SIGNALS
from pacos.schemas import Message
from sft.configs.data import TooLong

CHUNK = 500
"""Rows that go to another process at once: 0.15 s of work."""

SERIAL_CHUNKS = 4
"""Up to so many, starting processes (1.5 s each) takes longer than the work."""

Conversation = list[Message]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What became of one conversation."""

    row: TokenizedRow | None
    """Its tokens; None where it is left out."""
    too_long: str | None = None
    """What was left out because it is too long, and why."""
    error: str | None = None
    """Why it cannot be used."""


@dataclass(frozen=True, slots=True)
class Fitter:
    """Tokenises conversations and sees to it that they fit."""

    encoder: Encoder
    max_length: int
    """Tokens of the longest row."""
    policy: TooLong

    def fit(self, conversations: Sequence[Conversation]) -> list[Fitted]:
        """Tokenise; what cannot be used says so in its place."""
        return [
            self._judged(turns, row)
            for turns, row in zip(conversations, self._encoded(conversations), strict=True)
        ]

    def _encoded(self, conversations: Sequence[Conversation]) -> list[TokenizedRow | RowError]:
        from jinja2 import TemplateError

        try:
            return [*self.encoder.encode(conversations)]
        except TemplateError as error:
            if len(conversations) == 1:
                return [RowError(f"the chat template refuses it: {error}")]
            return [row for one in conversations for row in self._encoded([one])]

    def _judged(self, turns: Conversation, row: TokenizedRow | RowError) -> Fitted:
        if isinstance(row, RowError):
            return Fitted(None, error=str(row))
        control = self.encoder.control_token_in(turns)
        if control is not None:
            what = "holds the control token"
            return Fitted(None, error=f"its text {what} {control}, which would end or begin a turn")
        if row.num_supervised == 0:
            return Fitted(None, error="no token of it carries loss")
        if len(row.ids) <= self.max_length:
            return Fitted(row)
        return self._shortened(turns, len(row.ids))

    def _shortened(self, turns: Conversation, tokens: int) -> Fitted:
        exchanges = sum(turn["role"] == "assistant" for turn in turns)
        if self.policy is TooLong.cut_turns:
            for left_out in range(1, exchanges):
                (row,) = self.encoder.encode([turns[: -2 * left_out]])
                if len(row.ids) <= self.max_length:
                    what = f"the last {left_out} of {exchanges} exchanges left out"
                    return Fitted(row, too_long=f"{tokens} tokens: {what}")
        return Fitted(None, too_long=f"{tokens} tokens: left out")


def fit_all(fitter: Fitter, conversations: Iterable[Conversation]) -> Iterator[Fitted]:
    """Fit one after another; where there are many, in one process a core."""
    chunks = _chunks(conversations)
    first = list(itertools.islice(chunks, SERIAL_CHUNKS))
    if len(first) < SERIAL_CHUNKS:
        for chunk in first:
            yield from fitter.fit(chunk)
        return
    processes = len(os.sched_getaffinity(0))
    pool = ProcessPoolExecutor(
        processes,
        # A fork would copy the threads' locks of torch and of the process group.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(fitter,),
    )
    try:
        waiting: deque[Future[list[Fitted]]] = deque()
        for chunk in itertools.chain(first, chunks):
            waiting.append(pool.submit(_fit, chunk))
            if len(waiting) > 3 * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk


_fitter: Fitter
"""Of a worker process."""


def _begin(fitter: Fitter) -> None:
    global _fitter
    _fitter = fitter
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    end_with_parent()
    for number in SIGNALS:
        # The rank that started this process decides when to stop.
        signal.signal(number, signal.SIG_IGN)


def _fit(chunk: Sequence[Conversation]) -> list[Fitted]:
    return _fitter.fit(chunk)
