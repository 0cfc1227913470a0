"""The tokens of one data set on disk, memory-mapped so that the ranks of a machine share pages."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pacos.data.example import Content, Example
from pacos.data.sources import Source
from pacos.errors import UserError
from pacos.files import read_json, write_json
from pacos.prompts.encoder import Encoder
from pacos.prompts.tokens import IGNORE, TokenizedRow
from pacos.run.stop import StopCheck
from sft.configs.data import DataConfig
from sft.data.reader import SourceReader
from sft.data.tokenize import RowTokenizer, TokenizeResult, tokenize_all

VERSION = 3
"""Version of the cache's layout and of the mapping from rows to tokens. Raise it when either
changes: older caches are then ignored."""

ARRAYS: dict[str, Any] = {
    "ids": np.int32,
    "supervised": np.bool_,
    "lengths": np.int32,
    "counts": np.int32,
    "numbers": np.int64,
}
"""Files of a cache and their dtypes; TokenCache documents their content."""


@dataclass(frozen=True, slots=True)
class TokenCache:
    """The tokens of one source's usable rows."""

    source: Source
    ids: NDArray[np.int32]
    """[tokens]: all rows, concatenated."""
    supervised: NDArray[np.bool_]
    """[tokens]: True where a token has a loss."""
    starts: NDArray[np.int64]
    """[rows + 1]: offset of each row in `ids`, then the number of tokens."""
    lengths: NDArray[np.int32]
    """[rows]: tokens of each row."""
    counts: NDArray[np.int32]
    """[rows]: supervised tokens of each row."""
    numbers: NDArray[np.int64]
    """[rows]: number of each row's record in the source."""
    facts: dict[str, Any]
    """`terms` of the rows, with an empty text if some name none; `dropped` and `quarantined`:
    number, id and reason of rows."""

    def row(self, index: int) -> TokenizedRow:
        """Return the tokens and labels of one row."""
        part = slice(self.starts[index], self.starts[index + 1])
        ids = self.ids[part]
        return TokenizedRow(ids, np.where(self.supervised[part], ids, np.int32(IGNORE)))

    def excluded(self, kind: Literal["dropped", "quarantined"]) -> list[dict[str, Any]]:
        """Return place, id and reason of the rows that were dropped or quarantined."""
        return [
            {"place": self.source.place(row["number"]), "id": row["id"], "reason": row["reason"]}
            for row in self.facts[kind]
        ]


def cache_key(digest: str, encoder: Encoder, config: DataConfig) -> str:
    """Return the name of a cache: a hash of everything that decides its content.

    Args:
        digest: of the source.
        encoder: chat template and tokenizer.
        config: the maximum length, and the policies for long and for unusable rows.
    """
    parts = (
        VERSION,
        digest,
        encoder.fingerprint(),
        config.max_length,
        config.too_long.name,
        config.on_error.name,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read_cache(folder: Path, source: Source) -> TokenCache:
    """Map a cache into memory."""
    arrays: dict[str, Any] = {
        name: np.memmap(folder / name, dtype, mode="r") for name, dtype in ARRAYS.items()
    }
    starts = np.concatenate([[0], np.cumsum(arrays["lengths"], dtype=np.int64)])
    return TokenCache(source, starts=starts, facts=read_json(folder / "facts.json"), **arrays)


def write_cache(
    folder: Path,
    source: Source,
    encoder: Encoder,
    config: DataConfig,
    stop: StopCheck,
) -> None:
    """Tokenize a source into an empty folder.

    Args:
        folder: the folder to fill.
        source: the rows.
        encoder: chat template and tokenizer.
        config: the maximum length, and the policies for long and for unusable rows.
        stop: asked for each row.

    Raises:
        UserError: the source cannot be read, has no usable row, or has an unusable row under
            `data.on_error=refuse`.
    """
    reader = SourceReader(source, config.on_error)
    tokenizer = RowTokenizer(encoder, config.max_length, config.too_long)
    terms: set[str] = set()
    dropped = []
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in ARRAYS}
        for number, example, result in _tokenized(reader, tokenizer):
            stop.check()
            if result.error is not None:
                reader.refuse(number, example.id, result.error)
            if result.too_long is not None:
                dropped.append({"number": number, "id": example.id, "reason": result.too_long})
            if result.row is None:
                continue
            for name, values in _values(number, result.row).items():
                files[name].write(np.asarray(values, ARRAYS[name]).tobytes())
            terms.add(example.terms or "")
        # The folder is renamed into place afterwards, and a rename must not outlive its content.
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    if not (folder / "lengths").stat().st_size:
        raise _no_rows_error(source, len(dropped), len(reader.quarantined), config)
    facts = {"terms": sorted(terms), "dropped": dropped, "quarantined": reader.quarantined}
    # `pacos plan` finds the lengths of a file's rows by this digest.
    write_json(folder / "facts.json", {"digest": source.digest(), **facts})


def _tokenized(
    reader: SourceReader, tokenizer: RowTokenizer
) -> Iterator[tuple[int, Example, TokenizeResult]]:
    # Results come back in order, but many rows after their conversation was read.
    pending: deque[tuple[int, Example]] = deque()

    def conversations() -> Iterator[Content]:
        for number, example in reader.examples():
            pending.append((number, example))
            yield example.content

    for result in tokenize_all(tokenizer, conversations()):
        number, example = pending.popleft()
        yield number, example, result


def _values(number: int, row: TokenizedRow) -> dict[str, Any]:
    supervised = row.labels != IGNORE
    return {
        "ids": row.ids,
        "supervised": supervised,
        "lengths": len(supervised),
        "counts": np.count_nonzero(supervised),
        "numbers": number,
    }


def _no_rows_error(source: Source, dropped: int, quarantined: int, config: DataConfig) -> UserError:
    if dropped:
        return UserError(
            f"data.max_length = {config.max_length}: every usable row of {source.path} is longer "
            f"({dropped} rows); raise it"
        )
    if quarantined:
        return UserError(
            f"{source.path}: none of its {quarantined} rows can be used; set data.on_error=refuse "
            "to see why"
        )
    return UserError(f"{source.path}: holds no rows; give a data set that has some")
