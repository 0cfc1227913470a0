"""How long the rows of a data set are, known or estimated without reading all of it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pacos.cache import cache_directory
from pacos.data.location import Kind, Location, locate
from pacos.data.sources import Source
from pacos.errors import UserError
from pacos.files import read_json
from sft.configs.data import DataConfig
from sft.steps.packing import Ints

BYTES_A_TOKEN = 4.0
"""Of text in UTF-8: English has 4 to 4.5 under LLaMA's tokenizers, Korean 2 to 4."""
TEMPLATE_TOKENS = 20
"""What a prompt format adds to a row: 10 (chatml) to 40 (alpaca)."""
SAMPLE_BYTES = 2**20
"""Of a file of rows: what is looked at to know the rest."""
SAMPLE_ROWS = 1000
DIGEST_BYTES = 200 * 2**20
"""Of a file that is read whole, to find the tokens that an earlier run made of it: 0.2 s."""

ALPACA_ROWS, ALPACA_TOKENS = 52_002, 120
"""Rows of the published file, and tokens of the mean one in Alpaca's prompt."""
NO_TEXT = ("id", "lineage", "metadata")
"""Columns that no model reads."""


@dataclass(frozen=True, slots=True)
class DataSize:
    """The rows of an epoch."""

    lengths: Ints
    """[rows] tokens of each, longer ones than data.max_length left out."""
    source: str
    """How they are known, in words."""


def data_size(data: DataConfig, rows: int | None = None, tokens: int | None = None) -> DataSize:
    """The lengths of an epoch's rows: given, tokenised by an earlier run, estimated, or assumed.

    Args:
        data: names them.
        rows: of an epoch, where the user gives it.
        tokens: of the mean row, likewise.
    """
    if rows is not None or tokens is not None:
        rows, tokens = rows or ALPACA_ROWS, tokens or ALPACA_TOKENS
        how = f"given: {rows:,} rows of {tokens:,} tokens"
        return DataSize(_spread(rows, tokens, data.max_length), how)
    try:
        parts = [(path, weight, *_lengths(path)) for path, weight in data.weights().items()]
    except (UserError, OSError, ValueError):
        how = f"assumed: {ALPACA_ROWS:,} rows of {ALPACA_TOKENS} tokens, as Alpaca's"
        lengths = _spread(ALPACA_ROWS, ALPACA_TOKENS, data.max_length)
        return DataSize(lengths, f"{how}; give data.path, or --rows and --tokens")
    taken = [_passes(lengths, weight) for _, weight, lengths, _ in parts]
    source = "; ".join(f"{Path(path).name}: {how}" for path, _, _, how in parts)
    return DataSize(_fitting(np.concatenate(taken), data), source)


def _spread(rows: int, mean: float, longest: int) -> Ints:
    """Lengths as instruction data has them: log-normal with sigma 0.7, in equal quantiles."""
    ranks = (np.arange(SAMPLE_ROWS) + 0.5) / SAMPLE_ROWS
    # The logistic function's inverse is near the normal one's, and needs no scipy.
    sample = np.exp(0.7 * np.log(ranks / (1 - ranks)) / 1.702)
    return np.minimum(_repeated(sample * (mean / sample.mean()), rows), longest)


def _repeated(sample: Any, rows: int) -> Ints:
    """As many rows, distributed as the sample."""
    at = np.arange(rows) * len(sample) // max(rows, 1)
    return np.maximum(1, np.sort(np.asarray(sample, np.float64))[at].round().astype(np.int64))


def _passes(lengths: Ints, weight: float) -> Ints:
    """The rows of an epoch that takes each as often as `weight` says."""
    return _repeated(np.sort(lengths), round(weight * len(lengths)))


def _fitting(lengths: Ints, data: DataConfig) -> Ints:
    kept = lengths[lengths <= data.max_length]
    return kept if len(kept) else np.minimum(lengths, data.max_length)


def _lengths(path: str) -> tuple[Ints, str]:
    location = locate(path)
    cached = _tokenised(path, location)
    if cached is not None:
        return cached, "tokenised before"
    if location.kind is Kind.hub:
        raise UserError(f"{path}: lies on the hub")
    rows, sample = _READERS[location.kind](location.path)
    if not any(sample):
        raise UserError(f"{path}: has no text at its beginning to estimate the rest by")
    mean = float(np.mean(sample))
    lengths = _repeated([size / BYTES_A_TOKEN + TEMPLATE_TOKENS for size in sample], rows)
    return lengths, f"estimated from its size, {mean:,.0f} bytes of text a row"


def _tokenised(path: str, location: Location) -> Ints | None:
    """Lengths in the newest token cache of a file that is small enough to be told by its digest."""
    if not location.path.is_file() or location.path.stat().st_size > DIGEST_BYTES:
        return None
    digest = Source(path, location).digest()
    newest_first = sorted(
        (cache_directory() / "tokens").glob("*/facts.json"),
        key=lambda facts: facts.stat().st_mtime,
        reverse=True,
    )
    for facts in newest_first:
        if read_json(facts).get("digest") == digest:
            return np.fromfile(facts.with_name("lengths"), np.int32).astype(np.int64)
    return None


def _text_bytes(value: Any) -> int:
    """Bytes of all text in a row."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(_text_bytes(part) for key, part in value.items() if key not in NO_TEXT)
    return sum(map(_text_bytes, value)) if isinstance(value, list) else 0


def _json_rows(path: Path) -> tuple[int, list[int]]:
    """Number of rows and bytes of text of the first ones, of lines as of a list."""
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
    text = head.removeprefix(codecs.BOM_UTF8).decode(errors="ignore")
    sample, end = [], 0
    for row, end in _objects(text):  # noqa: B007  # where the last one ends is used below
        sample.append(_text_bytes(row))
    if not sample:
        return 0, sample
    whole = len(text[:end].encode()) / len(sample)
    return max(len(sample), round(path.stat().st_size / whole)), sample


def _objects(text: str) -> Iterator[tuple[Any, int]]:
    """JSON objects one after another, whatever stands between, and where each ends."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield value, end
        at = text.find("{", end)


def _parquet_rows(path: Path) -> tuple[int, list[int]]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    batch = next(file.iter_batches(SAMPLE_ROWS), None)
    return file.metadata.num_rows, [] if batch is None else _sizes(batch.to_pylist())


def _saved_rows(path: Path) -> tuple[int, list[int]]:
    from pyarrow import ipc

    folder = path if (path / "state.json").is_file() else path / "train"
    files = [
        folder / entry["filename"] for entry in read_json(folder / "state.json")["_data_files"]
    ]
    if not files:
        return 0, []
    with ipc.open_stream(files[0]) as stream:
        batch = next(iter(stream), None)
    sample = [] if batch is None else _sizes(batch.slice(0, SAMPLE_ROWS).to_pylist())
    size = sum(file.stat().st_size for file in files)
    return round(size / np.mean(sample)) if any(sample) else 0, sample


def _sizes(rows: Iterable[Any]) -> list[int]:
    return [_text_bytes(row) for row in islice(rows, SAMPLE_ROWS)]


_READERS = {Kind.json: _json_rows, Kind.parquet: _parquet_rows, Kind.saved: _saved_rows}
