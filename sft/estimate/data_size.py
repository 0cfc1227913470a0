"""The lengths of a data set's rows: known, or estimated without reading all of it."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacos.cache import cache_directory
from pacos.data.compressed import is_compressed, open_bytes
from pacos.data.location import Location, SourceKind, cut_bounds, locate
from pacos.data.sources import Source
from pacos.errors import Problem, UserError
from pacos.files import read_json
from pacos.text.counted import counted
from sft.configs.data import DataConfig
from sft.steps.packing import Ints

BYTES_PER_TOKEN = 4.0
"""UTF-8 bytes per token: 4 to 4.5 for English under LLaMA's tokenizers, 2 to 4 for Korean."""
TEMPLATE_TOKENS = 20
"""Tokens that a prompt format adds to a row: 10 (chatml) to 40 (alpaca)."""
SAMPLE_BYTES = 2**20
"""Bytes read at the beginning of a JSON file, from which the rest is estimated."""
SAMPLE_ROWS = 1000
COMPRESSION = 3.5
"""Bytes of instruction data per byte after gzip or zstd at their default levels: 3 to 4."""
DIGEST_BYTES = 200 * 2**20
"""Size up to which a file is read in full to look for its tokens in the cache; takes 0.2 s."""

ALPACA_ROWS, ALPACA_TOKENS = 52_002, 120
"""Rows of Alpaca's published file, and the mean tokens of a row in Alpaca's prompt."""
LENGTH_SIGMA = 0.7
"""Sigma of the log-normal distribution assumed for row lengths, typical of instruction data."""
LOGISTIC_SCALE = 1.702
"""Scale at which the logistic distribution is closest to the normal one (within 0.01)."""
BISECTIONS = 60
"""Halvings of an interval of scales: below the rounding of doubles."""
COLUMNS_WITHOUT_TEXT = ("id", "lineage", "metadata")
"""Columns that never reach the model."""


@dataclass(frozen=True, slots=True)
class DataSize:
    """The row lengths of an epoch, and where they come from."""

    lengths: Ints
    """[rows]: tokens of each row; rows longer than data.max_length are left out."""
    source: str
    """Origin of the lengths, for people."""


def data_size(data: DataConfig, rows: int | None = None, tokens: int | None = None) -> DataSize:
    """Return the row lengths of an epoch: given, cached by an earlier run, estimated or assumed.

    Args:
        data: names the data sets.
        rows: rows of an epoch, if the user gives them.
        tokens: tokens of the mean row, if the user gives them.

    Raises:
        UserError: the given mean is above data.max_length.
    """
    if tokens is not None and tokens > data.max_length:
        fault = f"no row may be longer than data.max_length = {data.max_length}"
        remedy = f"raise data.max_length, or give at most {data.max_length}"
        raise UserError(str(Problem("--tokens", tokens, fault, remedy)))
    if tokens is not None:
        rows = rows or ALPACA_ROWS
        source = f"given: {counted(rows, 'row')} of {counted(tokens, 'token')}"
        return DataSize(_log_normal(rows, tokens, data.max_length), source)
    if rows is not None:
        given = counted(rows, "row")
        source = f"given: {given}; assumed: {ALPACA_TOKENS} tokens each, as in Alpaca's data"
        return DataSize(_like_alpaca(rows, data), source)
    try:
        parts = [(path, weight, *_lengths(path)) for path, weight in data.weights().items()]
    except (UserError, OSError, ValueError, csv.Error):
        # The run itself refuses such data with a better message than a plan could.
        source = f"assumed: {ALPACA_ROWS:,} rows of {ALPACA_TOKENS} tokens, as in Alpaca's data"
        lengths = _like_alpaca(ALPACA_ROWS, data)
        return DataSize(lengths, f"{source}; give data.path, or --rows and --tokens")
    selected = [_weighted(lengths, weight) for _, weight, lengths, _ in parts]
    source = "; ".join(f"{Path(path).name}: {how}" for path, _, _, how in parts)
    return DataSize(_within_max_length(np.concatenate(selected), data), source)


def _like_alpaca(rows: int, data: DataConfig) -> Ints:
    """Return the lengths of rows like Alpaca's; those above data.max_length are cut."""
    return np.minimum(_log_normal(rows, ALPACA_TOKENS, ALPACA_TOKENS * rows), data.max_length)


def _log_normal(rows: int, mean: float, longest: int) -> Ints:
    """Return log-normal lengths at equally spaced quantiles, kept within 1 and `longest`.

    Their mean is `mean` with the limits applied: the nearer it comes to `longest`, the more rows
    are of that length. It must lie within the limits.
    """
    count = min(rows, SAMPLE_ROWS)
    quantiles = (np.arange(count) + 0.5) / count
    # The logistic quantile function stands in for the normal one, which would need scipy.
    logit = np.log(quantiles / (1 - quantiles))
    sample = np.exp(LENGTH_SIGMA * logit / LOGISTIC_SCALE)
    rows_each = np.diff(np.arange(count + 1) * rows // count)

    def scaled(scale: float) -> Ints:
        return np.clip((sample * scale).round(), 1, longest).astype(np.int64)

    # The mean rises with the scale: from 1 at scale 0 to `longest` where even the shortest row has
    # that length.
    low, high = 0.0, longest / float(sample[0])
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if rows_each @ scaled(middle) < rows * mean:
            low = middle
        else:
            high = middle
    return np.repeat(scaled(high), rows_each)


def _resample(sample: Sequence[float] | NDArray[Any], rows: int) -> Ints:
    """Return this many lengths, distributed as the sample is."""
    at = np.arange(rows) * len(sample) // max(rows, 1)
    return np.maximum(1, np.sort(np.asarray(sample, np.float64))[at].round().astype(np.int64))


def _weighted(lengths: Ints, weight: float) -> Ints:
    """Return the lengths of an epoch that passes over these rows `weight` times."""
    return _resample(np.sort(lengths), round(weight * len(lengths)))


def _within_max_length(lengths: Ints, data: DataConfig) -> Ints:
    kept = lengths[lengths <= data.max_length]
    # Without one row that fits, the run would be refused; the plan goes on with cut rows.
    return kept if len(kept) else np.minimum(lengths, data.max_length)


def _lengths(path: str) -> tuple[Ints, str]:
    """Return the row lengths of one data set, and how they are known.

    Raises:
        UserError: they cannot be known here.
        OSError, ValueError: its files are damaged.
    """
    location = locate(path)
    cached = _cached_lengths(path, location)
    if cached is not None:
        return cached, "tokenized by an earlier run"
    if location.on_hub:
        raise UserError(f"{path}: lies on the hub")
    rows, sample = _SAMPLERS[location.kind](location.files)
    if location.cut is not None:
        begin, end = cut_bounds(location.cut, rows)
        rows = max(end - begin, 0)
    if not any(sample):
        raise UserError(f"{path}: has no text at its beginning to estimate the rest from")
    mean = float(np.mean(sample))
    lengths = _resample([size / BYTES_PER_TOKEN + TEMPLATE_TOKENS for size in sample], rows)
    return lengths, f"estimated from its size, {mean:,.0f} bytes of text per row"


def _cached_lengths(path: str, location: Location) -> Ints | None:
    """Return the lengths in the newest token cache of a source; None for one too large to hash."""
    source = Source(path, location)
    if location.on_hub or _size(source.files) > DIGEST_BYTES:
        return None
    digest = source.digest()
    # A cache's name also hashes tokenizer and template, which a plan does not load; any cache of
    # the same file is closer than an estimate.
    newest_first = sorted(
        (cache_directory() / "tokens").glob("*/facts.json"),
        key=lambda facts: facts.stat().st_mtime,
        reverse=True,
    )
    for facts in newest_first:
        if read_json(facts).get("digest") == digest:
            return np.fromfile(facts.with_name("lengths"), np.int32).astype(np.int64)
    return None


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _text_size(files: Iterable[Path]) -> float:
    """Return the bytes of text files, decompressed."""
    return sum(file.stat().st_size * (COMPRESSION if is_compressed(file) else 1) for file in files)


def _text_bytes(value: Any) -> int:
    """Return the UTF-8 bytes of all text in a row."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(
            _text_bytes(part) for key, part in value.items() if key not in COLUMNS_WITHOUT_TEXT
        )
    return sum(map(_text_bytes, value)) if isinstance(value, list) else 0


def _head(file: Path) -> str:
    with open_bytes(file) as content:
        head = content.read(SAMPLE_BYTES)
    return head.removeprefix(codecs.BOM_UTF8).decode(errors="ignore")


def _sample_json(files: Sequence[Path]) -> tuple[int, list[int]]:
    """Return the number of rows and the text bytes of the first ones, for JSON and JSONL."""
    text = _head(files[0])
    sample, end = [], 0
    for row, end in _objects(text):  # noqa: B007  # the end of the last one is used below
        sample.append(_text_bytes(row))
    return _scaled(files, sample, text[:end])


def _scaled(files: Sequence[Path], sample: list[int], text: str) -> tuple[int, list[int]]:
    """Return the number of rows in all files, whose first rows are written as this text."""
    if not sample:
        return 0, sample
    bytes_per_row = len(text.encode()) / len(sample)
    return max(len(sample), round(_text_size(files) / bytes_per_row)), sample


def _sample_csv(files: Sequence[Path], separator: str = ",") -> tuple[int, list[int]]:
    text = _head(files[0])
    lines = text.splitlines(keepends=True)
    if len(text) >= SAMPLE_BYTES // 4 and len(lines) > 2:
        lines.pop()  # cut off at the end of the sample
    rows = list(csv.DictReader(lines, delimiter=separator))
    return _scaled(files, [_text_bytes(row) for row in rows], "".join(lines))


def _objects(text: str) -> Iterator[tuple[Any, int]]:
    """Yield each JSON object and its end, whatever stands between: newlines, or a list's commas."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            return  # cut off at the end of the sample
        yield value, end
        at = text.find("{", end)


def _sample_parquet(files: Sequence[Path]) -> tuple[int, list[int]]:
    from pyarrow import parquet

    batch = next(parquet.ParquetFile(files[0]).iter_batches(SAMPLE_ROWS), None)
    rows = sum(parquet.read_metadata(file).num_rows for file in files)
    return rows, [] if batch is None else _sizes(batch.to_pylist())


def _sample_saved(folders: Sequence[Path]) -> tuple[int, list[int]]:
    """Return the same for a folder written by `datasets.Dataset.save_to_disk`."""
    (folder,) = folders
    names = [entry["filename"] for entry in read_json(folder / "state.json")["_data_files"]]
    return _sample_arrow([folder / name for name in names])


def _sample_arrow(files: Sequence[Path]) -> tuple[int, list[int]]:
    from pyarrow import ArrowInvalid, ipc, memory_map

    if not files:
        return 0, []
    with memory_map(str(files[0])) as content:
        try:
            with ipc.open_stream(content) as stream:
                batch = next(iter(stream), None)
        except ArrowInvalid:
            with ipc.open_file(content) as file:
                batch = file.get_batch(0) if file.num_record_batches else None
        sample = [] if batch is None else _sizes(batch.slice(0, SAMPLE_ROWS).to_pylist())
    # An Arrow stream does not say how many rows it has; nearly all of its bytes are text.
    return round(_size(files) / np.mean(sample)) if any(sample) else 0, sample


def _sizes(rows: Iterable[Any]) -> list[int]:
    return [_text_bytes(row) for row in islice(rows, SAMPLE_ROWS)]


_SAMPLERS: dict[SourceKind, Callable[[Sequence[Path]], tuple[int, list[int]]]] = {
    SourceKind.json: _sample_json,
    SourceKind.csv: _sample_csv,
    SourceKind.tsv: partial(_sample_csv, separator="\t"),
    SourceKind.parquet: _sample_parquet,
    SourceKind.arrow: _sample_arrow,
    SourceKind.saved: _sample_saved,
}
