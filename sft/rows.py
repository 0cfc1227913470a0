"""Rows on disk, and rows as tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.config import PromptFormat
from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.prompts import TokenizedRow, encode
from pacos.schemas import Row
from sft.config import SFTConfig


def read_rows(path: Path) -> list[Row]:
    """Read a JSONL file, or a JSON list, of Alpaca rows.

    Raises:
        UserError: the file cannot be read or is empty, or a record (file and line) is no row.
    """
    try:
        if path.suffix == ".json":
            records = json.loads(path.read_text(encoding="utf-8"))
        else:
            records = list(read_jsonl(path))
    except (OSError, ValueError) as error:
        raise UserError(f"data.path: {path}: cannot be read: {error}") from error
    if not isinstance(records, list) or not records:
        raise UserError(f"data.path: {path}: holds no rows")
    return [Row.from_json(record, f"{path}:{n}") for n, record in enumerate(records, start=1)]


@dataclass(frozen=True, slots=True)
class TokenizedRows:
    """Rows that fit, as tokens."""

    ids: list[str]
    rows: list[TokenizedRow]
    dropped: list[str]
    """Ids of rows that are too long."""
    terms: list[str]
    """Licences and terms that the rows' lineage names."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row.ids) for row in self.rows]


def load_data(config: SFTConfig, tokenizer: Any) -> TokenizedRows:
    """Read and tokenise what the config trains on."""
    rows = read_rows(config.data.file())
    return tokenize_rows(rows, tokenizer, config.model.prompt_format, config.data.max_length)


def tokenize_rows(
    rows: Sequence[Row], tokenizer: Any, prompt_format: PromptFormat, max_length: int
) -> TokenizedRows:
    """Tokenise rows; one longer than `max_length` tokens is dropped, never cut.

    Raises:
        UserError: no row is left, or one has nothing to learn.
    """
    encoded = encode(tokenizer, prompt_format, [row.messages() for row in rows])
    kept = [index for index, row in enumerate(encoded) if len(row.ids) <= max_length]
    dropped = [rows[index].id for index in range(len(rows)) if len(encoded[index].ids) > max_length]
    if not kept:
        raise UserError(
            f"data.max_length = {max_length}: every one of {len(rows)} rows is longer; raise it"
        )
    for index in kept:
        if encoded[index].num_supervised == 0:
            raise UserError(
                f"model.prompt_format = {prompt_format.name}: row {rows[index].id} has no token "
                "that carries loss; give a format whose answer is marked"
            )
    return TokenizedRows(
        ids=[rows[index].id for index in kept],
        rows=[encoded[index] for index in kept],
        dropped=dropped,
        terms=sorted({str(row.lineage["terms"]) for row in rows if "terms" in row.lineage}),
    )
