"""Chunks of a source to arrays of tokens: the policy for long rows, and work on all cores."""

from __future__ import annotations

import gc
import hashlib
import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacos.data.chunk import Chunk
from pacos.data.example import (
    Content,
    Conversation,
    Example,
    RowError,
    TokenIds,
    content_hash,
)
from pacos.data.notices import Notices
from pacos.data.rows import RowReader
from pacos.prompts.encoder import Encoder
from pacos.prompts.tokens import EncodedRow, Reason
from pacos.rank import end_with_parent
from pacos.run.stop import SIGNALS
from sft.configs.data import TooLong
from sft.data.reader import Refusal, examples

SERIAL_CHUNKS = 3
"""Chunks up to which this process works alone: starting a worker takes 1.5 s, longer than the work
itself."""

UNKNOWN = (
    "holds characters that the tokenizer does not know and replaces by one token; remove them, or "
    "use a tokenizer that has them"
)

ARRAYS: dict[str, Any] = {
    "ids": np.int32,
    "reasons": np.uint8,
    "lengths": np.int32,
    "counts": np.int32,
    "numbers": np.int64,
    "digests": np.uint64,
    "contents": np.uint64,
}
"""Arrays made of the rows and their dtypes; `sft.data.token_cache.TokenCache` documents them."""


@dataclass(slots=True)
class Totals:
    """Sums over the usable rows of a source, for the report at the start of a run."""

    rows: int = 0
    tokens: int = 0
    """Tokens before the policy for long rows."""
    long_rows: int = 0
    """Rows longer than data.max_length."""
    kept_tokens: int = 0
    """Tokens after the policy."""

    def add(self, other: Totals) -> None:
        self.rows += other.rows
        self.tokens += other.tokens
        self.long_rows += other.long_rows
        self.kept_tokens += other.kept_tokens


@dataclass(slots=True)
class TokenizedChunk:
    """The rows of a chunk, in a few arrays.

    Pickling one object per row would cost more than tokenizing it.
    """

    arrays: dict[str, NDArray[Any]]
    """Concatenated over the rows, by the names of ARRAYS."""
    refused: list[Refusal] = field(default_factory=list)
    """Records that cannot be used."""
    long: list[Refusal] = field(default_factory=list)
    """Records of which something was left out for their length."""
    terms: set[str] = field(default_factory=set)
    notices: Notices = field(default_factory=Notices)
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True, slots=True)
class ChunkTokenizer:
    """Reads and tokenizes chunks, and enforces the maximum length."""

    reader: RowReader
    encoder: Encoder
    max_length: int
    """Tokens of the longest row allowed."""
    policy: TooLong

    def tokenize(self, chunk: Chunk) -> TokenizedChunk:
        """Tokenize the records of a chunk; an unusable one is refused by its number."""
        result = TokenizedChunk({})
        readable: list[tuple[int, Example]] = []
        for item in examples(chunk, self.reader):
            if isinstance(item, Refusal):
                result.refused.append(item)
            else:
                readable.append(item)
        rows: list[EncodedRow] = []
        numbers: list[int] = []
        contents: list[int] = []
        encoded = self.encoder.encode([example.content for _, example in readable])
        for (number, example), versions in zip(readable, encoded, strict=True):
            kept = self._kept(number, example, versions, result)
            rows += kept
            numbers += [number] * len(kept)
            contents += [content_hash(example.content)] * len(kept)
        # A row that was refused after it was read may precede one that could not be read.
        result.refused.sort(key=lambda refusal: refusal.number)
        result.arrays = _arrays(rows, numbers, contents)
        result.totals.kept_tokens = len(result.arrays["ids"])
        return result

    def _kept(
        self,
        number: int,
        example: Example,
        versions: list[EncodedRow] | RowError,
        result: TokenizedChunk,
    ) -> list[EncodedRow]:
        """Return the rows of a record to train on, and count it."""
        if isinstance(versions, RowError):
            result.notices.add_notes(number, example)
            result.refused.append(Refusal(number, example.id, str(versions)))
            return []
        trained = [row for row in versions if _is_trained(row)]
        if not trained:
            result.refused.append(
                Refusal(number, example.id, "it has no token with a loss; remove the row")
            )
            return []
        unknown = self.encoder.tokens.unknown
        is_text = unknown is not None and not isinstance(example.content, TokenIds)
        if is_text and any(unknown in row.ids for row in trained):
            example = replace(example, notes=(*example.notes, UNKNOWN))
        result.notices.add(number, example)
        result.terms.add(example.terms or "")
        result.totals.rows += 1
        result.totals.tokens += sum(len(row.ids) for row in trained)
        if max(len(row.ids) for row in trained) <= self.max_length:
            return trained
        kept, reason = self._shortened(example.content, trained)
        result.totals.long_rows += 1
        result.long.append(Refusal(number, example.id, reason))
        return kept

    def _shortened(
        self, content: Content, rows: Sequence[EncodedRow]
    ) -> tuple[list[EncodedRow], str]:
        """Return what the policy keeps of a record that is too long, and what it leaves out."""
        tokens = max(len(row.ids) for row in rows)
        short = [row for row in rows if len(row.ids) <= self.max_length]
        if self.policy is TooLong.truncate:
            return self._truncated(rows, tokens)
        if self.policy is TooLong.cut_turns:
            if short:
                # One example per answer, each with everything before it: a shorter conversation.
                left_out = len(rows) - len(short)
                return short, f"{tokens} tokens: {left_out} of {len(rows)} answers left out"
            if isinstance(content, Conversation) and len(rows) == 1:
                return self._without_last_turns(content, tokens)
        return [], f"{tokens} tokens: left out"

    def _truncated(self, rows: Sequence[EncodedRow], tokens: int) -> tuple[list[EncodedRow], str]:
        cut = [
            EncodedRow(row.ids[: self.max_length], row.reasons[: self.max_length]) for row in rows
        ]
        kept = [row for row in cut if _is_trained(row)]
        if not kept:
            beyond = f"no supervised token among the first {self.max_length}"
            return [], f"{tokens} tokens: left out, with {beyond}"
        return kept, f"{tokens} tokens: truncated"

    def _without_last_turns(
        self, content: Conversation, tokens: int
    ) -> tuple[list[EncodedRow], str]:
        # An exchange begins with a question: calls and their results stay with its answer.
        turns = content.turns
        begins = [
            index
            for index, turn in enumerate(turns)
            if turn["role"] == "user" and (index == 0 or turns[index - 1]["role"] != "user")
        ]
        for left_out, begin in enumerate(reversed(begins[1:]), start=1):
            shorter = replace(
                content,
                turns=turns[:begin],
                untrained=frozenset(turn for turn in content.untrained if turn < begin),
            )
            (rows,) = self.encoder.encode([shorter])
            if isinstance(rows, RowError) or len(rows) != 1:
                continue
            if len(rows[0].ids) <= self.max_length and _is_trained(rows[0]):
                exchanges = f"the last {left_out} of {len(begins)} exchanges"
                return rows, f"{tokens} tokens: {exchanges} left out"
        return [], f"{tokens} tokens: left out"


def _is_trained(row: EncodedRow) -> bool:
    """Return True if any token has a loss. Bytes are searched in 0.4 µs, an array in 5 µs."""
    return _TRAINED in row.reasons.tobytes()


_TRAINED = bytes([Reason.trained])


def _arrays(
    rows: Sequence[EncodedRow], numbers: Sequence[int], contents: Sequence[int]
) -> dict[str, NDArray[Any]]:
    if not rows:
        return {name: np.array([], dtype) for name, dtype in ARRAYS.items()}
    ids = [row.ids for row in rows]
    lengths = [len(row) for row in ids]
    reasons = np.concatenate([row.reasons for row in rows])
    values: dict[str, Any] = {
        "ids": np.concatenate(ids),
        "reasons": reasons,
        "lengths": lengths,
        "counts": np.add.reduceat(
            reasons == Reason.trained, [0, *np.cumsum(lengths)[:-1]], dtype=int
        ),
        "numbers": numbers,
        "digests": [_digest(row) for row in ids],
        "contents": contents,
    }
    return {name: np.asarray(values[name], dtype) for name, dtype in ARRAYS.items()}


def _digest(ids: NDArray[np.int32]) -> int:
    """Return 64 bits that are the same for rows with the same tokens.

    Among a million rows, two different ones share them with a probability of 3e-8.
    """
    return int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=8).digest(), "little")


def tokenize_all(tokenizer: ChunkTokenizer, chunks: Iterable[Chunk]) -> Iterator[TokenizedChunk]:
    """Yield one result per chunk, in order; use one process per core if there are many."""
    chunks = iter(chunks)
    first = list(itertools.islice(chunks, SERIAL_CHUNKS + 1))
    if len(first) <= SERIAL_CHUNKS:
        yield from map(tokenizer.tokenize, first)
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
        pending: deque[Future[TokenizedChunk]] = deque()
        for chunk in itertools.chain(first, chunks):
            pending.append(pool.submit(_tokenize_chunk, chunk))
            # Bounded, so that a source larger than memory is not read ahead of the workers.
            if len(pending) > 3 * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


_worker_tokenizer: ChunkTokenizer
"""Set once in each worker process, so that it is pickled once and not with every chunk."""


def _start_worker(tokenizer: ChunkTokenizer) -> None:
    global _worker_tokenizer
    _worker_tokenizer = tokenizer
    # Every core has a worker already; the tokenizer's own threads would only compete with them.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # What is loaded by now stays. Looking at all of it again and again would take the collector 4 %
    # of the worker's time.
    gc.collect()
    gc.freeze()
    end_with_parent()
    for number in SIGNALS:
        # The rank that started this process decides when to stop.
        signal.signal(number, signal.SIG_IGN)


def _tokenize_chunk(chunk: Chunk) -> TokenizedChunk:
    return _worker_tokenizer.tokenize(chunk)
