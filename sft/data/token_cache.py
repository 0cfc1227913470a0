"""The tokens of one data set on disk, memory-mapped so that the ranks of a machine share pages."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pacos.data.notices import Notices
from pacos.data.rows import RowReader
from pacos.data.source_config import SourceConfig
from pacos.data.sources import Source
from pacos.errors import UserError
from pacos.files import read_json, write_json
from pacos.prompts.encoder import Encoder
from pacos.prompts.tokens import EncodedRow, Reason, TokenizedRow, labels
from pacos.run.stop import StopCheck
from pacos.text.counted import counted
from sft.configs.data import DataConfig, OnError, TooLong
from sft.data.reader import Refusal, conversation_chunks
from sft.data.tokenize import ARRAYS, ChunkTokenizer, TokenizedChunk, Totals, tokenize_all

FACTS = "facts.json"
"""File of what is known about the rows besides their tokens."""

VERSION = 5
"""Version of the cache's layout and of the mapping from rows to tokens. Raise it when either
changes: older caches are then ignored."""

BLOCK = 2**26
"""Tokens whose supervision is hashed at a time."""


@dataclass(frozen=True, slots=True)
class TokenCache:
    """The tokens of one source's usable rows. A record may have several rows."""

    source: Source
    ids: NDArray[np.int32]
    """[tokens]: all rows, concatenated."""
    reasons: NDArray[np.uint8]
    """[tokens]: a `Reason` for each; those that are `trained` have a loss."""
    starts: NDArray[np.int64]
    """[rows + 1]: offset of each row in `ids`, then the number of tokens."""
    lengths: NDArray[np.int32]
    """[rows]: tokens of each row."""
    counts: NDArray[np.int32]
    """[rows]: supervised tokens of each row."""
    numbers: NDArray[np.int64]
    """[rows]: number of each row's record in the source."""
    digests: NDArray[np.uint64]
    """[rows]: a hash of each row's ids, the same for rows with equal tokens."""
    contents: NDArray[np.uint64]
    """[rows]: a hash of each row's record (`content_hash`)."""
    facts: dict[str, Any]
    """`terms` of the rows, with an empty text if some name none; `dropped` and `quarantined`:
    number, id and reason of rows; `notices` and `totals`."""

    def row(self, index: int) -> TokenizedRow:
        """Return the tokens and labels of one row."""
        row = self.encoded(index)
        return TokenizedRow(row.ids, labels(row.ids, row.reasons))

    def encoded(self, index: int) -> EncodedRow:
        """Return the tokens of one row with their reasons."""
        part = slice(self.starts[index], self.starts[index + 1])
        return EncodedRow(self.ids[part], self.reasons[part])

    def supervision(self) -> Iterator[NDArray[np.bool_]]:
        """Yield, block by block, which tokens have a loss."""
        for begin in range(0, len(self.reasons), BLOCK):
            yield self.reasons[begin : begin + BLOCK] == Reason.trained

    def excluded(self, kind: Literal["dropped", "quarantined"]) -> list[dict[str, Any]]:
        """Return place, id and reason of the rows that were dropped or quarantined."""
        return [
            {"place": self.source.place(row["number"]), "id": row["id"], "reason": row["reason"]}
            for row in self.facts[kind]
        ]

    def remarks(self, config: DataConfig) -> list[str]:
        """Return what a person should know about the rows before they are trained on."""
        path = self.source.path
        notices = Notices.from_json(self.facts["notices"]).lines(self.source.place)
        remarks = [*self.source.notes, *(f"{path}: {line}" for line in notices)]
        totals = Totals(**self.facts["totals"])
        if totals.long_rows:
            share = 1 - totals.kept_tokens / totals.tokens
            treated = _TREATED[config.too_long].format(share=f"{share:.0%} of the tokens")
            remarks.append(
                f"{path}: {totals.long_rows:,} of {totals.rows:,} rows {treated} "
                f"data.max_length = {config.max_length}: raise it, or choose another data.too_long "
                "(drop, cut_turns, truncate, error)"
            )
        return remarks


_TREATED = {
    TooLong.drop: "({share}) are left out, because they are longer than",
    TooLong.cut_turns: "lose their last exchanges or are left out ({share}), because they are "
    "longer than",
    TooLong.truncate: "are truncated ({share}), because they are longer than",
}
"""The treatment of long rows in words. Under `error` there are none."""


def cache_key(digest: str, encoder: Encoder, source: SourceConfig, config: DataConfig) -> str:
    """Return the name of a cache: a hash of everything that decides its content.

    Args:
        digest: of the source.
        encoder: chat template and tokenizer.
        source: the meaning of columns and roles.
        config: the maximum length, and the policies for long and for unusable rows.
    """
    options = {name: getattr(source, name) for name in SourceConfig.OPTIONS}
    parts = (
        VERSION,
        digest,
        encoder.fingerprint(),
        {**options, "ignore": [*source.ignore], "tree": source.tree.name},
        config.max_length,
        config.too_long.name,
        config.on_error.name,
    )
    return hashlib.sha256(json.dumps(parts, default=dict).encode()).hexdigest()[:32]


def read_cache(folder: Path, source: Source) -> TokenCache:
    """Map a cache into memory."""
    arrays: dict[str, Any] = {
        name: np.memmap(folder / name, dtype, mode="r") for name, dtype in ARRAYS.items()
    }
    starts = np.concatenate([[0], np.cumsum(arrays["lengths"], dtype=np.int64)])
    return TokenCache(source, starts=starts, facts=read_json(folder / FACTS), **arrays)


class _Facts:
    """What is known about a source besides its tokens, gathered chunk by chunk."""

    def __init__(self, source: Source, config: DataConfig) -> None:
        self._source = source
        self._config = config
        self._terms: set[str] = set()
        self._dropped: list[Refusal] = []
        self._quarantined: list[Refusal] = []
        self._notices = Notices()
        self._totals = Totals()

    def add(self, chunk: TokenizedChunk) -> None:
        """Add a chunk.

        Raises:
            UserError: a record is unusable or too long, and the config says that this is an error.
        """
        if chunk.refused and self._config.on_error is OnError.refuse:
            raise chunk.refused[0].error(self._source)
        if chunk.long and self._config.too_long is TooLong.error:
            row = chunk.long[0]
            tokens = row.reason.partition(":")[0]
            raise UserError(
                f"{self._source.place(row.number)}: {tokens}, more than data.max_length = "
                f"{self._config.max_length}; raise it, or set data.too_long=drop, cut_turns or "
                "truncate"
            )
        self._terms |= chunk.terms
        self._dropped += chunk.long
        self._quarantined += chunk.refused
        self._notices.merge(chunk.notices)
        self._totals.add(chunk.totals)

    def no_rows_error(self) -> UserError:
        """Return the error for a source of which no row is left."""
        path, dropped = self._source.path, len(self._dropped)
        if dropped:
            return UserError(
                f"data.max_length = {self._config.max_length}: every usable row of {path} is "
                f"longer ({counted(dropped, 'row')}); raise it"
            )
        if self._quarantined:
            first = self._quarantined[0]
            rows = counted(len(self._quarantined), "row")
            return UserError(
                f"{path}: no row can be used ({rows}); "
                f"{self._source.place(first.number)}: {first.reason}"
            )
        if cut := self._source.location.cut:
            return UserError(f"{path}: the slice {cut} takes no row; widen it")
        return UserError(f"{path}: holds no rows; give a data set that has some")

    def to_json(self) -> dict[str, Any]:
        return {
            "terms": sorted(self._terms),
            "dropped": [asdict(row) for row in self._dropped],
            "quarantined": [asdict(row) for row in self._quarantined],
            "notices": self._notices.to_json(),
            "totals": asdict(self._totals),
        }


def write_cache(
    folder: Path,
    source: Source,
    source_config: SourceConfig,
    encoder: Encoder,
    config: DataConfig,
    stop: StopCheck,
) -> None:
    """Tokenize a source into an empty folder.

    Args:
        folder: the folder to fill.
        source: the rows.
        source_config: the meaning of columns and roles.
        encoder: chat template and tokenizer.
        config: the maximum length, and the policies for long and for unusable rows.
        stop: asked for each chunk: about every 0.3 s.

    Raises:
        UserError: the source cannot be read, has no usable row, or has an unusable row under
            `data.on_error=refuse`, or a long one under `data.too_long=error`.
    """
    facts = _Facts(source, config)
    reader = RowReader.of(source_config)
    tokenizer = ChunkTokenizer(reader, encoder, config.max_length, config.too_long)
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in ARRAYS}
        chunks = conversation_chunks(source, source_config.tree)
        for chunk in tokenize_all(tokenizer, chunks):
            stop.check()
            facts.add(chunk)
            for name, values in chunk.arrays.items():
                files[name].write(values.data)
        # The folder is renamed into place afterwards, and a rename must not outlive its content.
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    if not (folder / "lengths").stat().st_size:
        raise facts.no_rows_error()
    # `pacos plan` finds the lengths of a file's rows by this digest.
    write_json(folder / FACTS, {"digest": source.digest(), **facts.to_json()})
