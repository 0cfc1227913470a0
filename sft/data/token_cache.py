"""Tokens of one data set on disk: memory-mapped, so that the ranks of a machine share the pages."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacos.data.rows import Example
from pacos.data.sources import Source
from pacos.errors import UserError
from pacos.files import read_json, write_json
from pacos.model.prompts import IGNORE, Encoder, TokenizedRow
from pacos.run.stop import Check
from sft.configs.data import DataConfig
from sft.data.reader import Intake
from sft.data.tokenize import Conversation, Fitted, Fitter, fit_all

VERSION = 1
"""Of the layout, and of what tokens a row becomes: a change of either makes old caches unused."""

ARRAYS: dict[str, Any] = {
    "ids": np.int32,
    "supervised": np.bool_,
    "lengths": np.int32,
    "counts": np.int32,
    "numbers": np.int64,
}
"""Files of a cache and their number format; TokenCache says what they hold."""


@dataclass(frozen=True, slots=True)
class TokenCache:
    """The rows of one source that are kept, as tokens."""

    source: Source
    ids: NDArray[np.int32]
    """[tokens]: the rows end to end."""
    supervised: NDArray[np.bool_]
    """[tokens]: whether each carries loss."""
    starts: NDArray[np.int64]
    """[rows + 1]: where each row begins, and the number of tokens."""
    lengths: NDArray[np.int32]
    """[rows]: tokens of each."""
    counts: NDArray[np.int32]
    """[rows]: tokens that carry loss."""
    numbers: NDArray[np.int64]
    """[rows]: each one's number in the source."""
    facts: dict[str, Any]
    """`terms` that rows name; `dropped` and `quarantined`: number, id and reason of rows."""

    def row(self, index: int) -> TokenizedRow:
        """The tokens of one row."""
        part = slice(self.starts[index], self.starts[index + 1])
        ids = self.ids[part]
        return TokenizedRow(ids, np.where(self.supervised[part], ids, np.int32(IGNORE)))

    def listed(self, what: str) -> list[dict[str, Any]]:
        """`dropped` or `quarantined` rows: place, the row's own id, reason."""
        return [
            {"place": self.source.place(row["number"]), "id": row["id"], "reason": row["reason"]}
            for row in self.facts[what]
        ]


def cache_key(digest: str, encoder: Encoder, config: DataConfig) -> str:
    """Name of a cache: a hash of all that decides on its content.

    Args:
        digest: of the source.
        encoder: template and tokenizer.
        config: what is too long, and what becomes of such rows and of bad ones.
    """
    parts = (
        VERSION,
        digest,
        encoder.template,
        encoder.backend.to_str(),
        sorted((name, str(value)) for name, value in encoder.special_tokens.items()),
        config.max_length,
        config.too_long.name,
        config.on_error.name,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read_cache(folder: Path, source: Source) -> TokenCache:
    """Map a cache into memory."""
    arrays: dict[str, Any] = {
        name: np.memmap(folder / name, form, mode="r") for name, form in ARRAYS.items()
    }
    starts = np.concatenate([[0], np.cumsum(arrays["lengths"], dtype=np.int64)])
    return TokenCache(source, starts=starts, facts=read_json(folder / "facts.json"), **arrays)


def write_cache(
    folder: Path,
    source: Source,
    encoder: Encoder,
    config: DataConfig,
    check: Check,
) -> None:
    """Tokenise a source into an empty folder.

    Args:
        folder: to fill.
        source: to read.
        encoder: template and tokenizer.
        config: what is too long, and what becomes of such rows and of bad ones.
        check: called at each row.

    Raises:
        UserError: the source cannot be read, holds no row that can be used, or holds one that
            cannot and is not to be quarantined.
    """
    intake = Intake(source, config.on_error)
    fitter = Fitter(encoder, config.max_length, config.too_long)
    terms: set[str] = set()
    dropped = []
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in ARRAYS}
        for number, example, fitted in _fitted(intake, fitter):
            check()
            if fitted.error is not None:
                intake.refuse(number, example.id, fitted.error)
            if fitted.too_long is not None:
                dropped.append({"number": number, "id": example.id, "reason": fitted.too_long})
            if fitted.row is None:
                continue
            for name, values in _values(number, fitted.row).items():
                files[name].write(np.asarray(values, ARRAYS[name]).tobytes())
            terms |= {example.terms} if example.terms else set()
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    if not (folder / "lengths").stat().st_size:
        raise _nothing_left(source, len(dropped), len(intake.quarantined), config)
    facts = {"terms": sorted(terms), "dropped": dropped, "quarantined": intake.quarantined}
    write_json(folder / "facts.json", {"digest": source.digest(), **facts})


def _fitted(intake: Intake, fitter: Fitter) -> Iterator[tuple[int, Example, Fitted]]:
    waiting: deque[tuple[int, Example]] = deque()

    def conversations() -> Iterator[Conversation]:
        for number, example in intake.examples():
            waiting.append((number, example))
            yield example.messages

    for fitted in fit_all(fitter, conversations()):
        number, example = waiting.popleft()
        yield number, example, fitted


def _values(number: int, row: TokenizedRow) -> dict[str, Any]:
    supervised = row.labels != IGNORE
    return {
        "ids": row.ids,
        "supervised": supervised,
        "lengths": len(supervised),
        "counts": np.count_nonzero(supervised),
        "numbers": number,
    }


def _nothing_left(source: Source, dropped: int, bad: int, config: DataConfig) -> UserError:
    if dropped:
        return UserError(
            f"data.max_length = {config.max_length}: every row of {source.path} that can be used "
            f"is longer ({dropped} rows); raise it"
        )
    if bad:
        return UserError(f"{source.path}: none of {bad} rows can be used; see data.on_error=refuse")
    return UserError(f"{source.path}: holds no rows; give a data set that does")
