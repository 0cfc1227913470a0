"""Lengths of rows that nobody has tokenised yet, or that somebody has."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from pacos.data.location import locate
from pacos.data.sources import Source
from pacos.errors import UserError
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from pacos.run.stop import NeverStop
from pacos.text.counted import counted
from sft.configs.data import DataConfig
from sft.data.token_cache import write_cache
from sft.estimate.data_size import data_size

ROWS = [
    {"id": f"row-{number:04d}", "instruction": "Count. " * (number % 7 + 1), "output": "one " * 40}
    for number in range(300)
]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACOS_CACHE", str(tmp_path / "cache"))


def write(path: Path, rows: list[dict[str, str]] = ROWS) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=4))
    elif path.suffix == ".parquet":
        from datasets import Dataset

        Dataset.from_list(rows).to_parquet(str(path))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(
                file, [*rows[0]], delimiter="," if path.suffix == ".csv" else "\t"
            )
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(write(path.with_suffix("")).read_bytes()))
        path.with_suffix("").unlink()
    elif path.name == "shards":
        path.mkdir()
        write(path / "train-1.jsonl", rows[: len(rows) // 2])
        write(path / "train-2.jsonl", rows[len(rows) // 2 :])
        write(path / "test.jsonl", rows)
    else:
        from datasets import Dataset

        Dataset.from_list(rows).save_to_disk(str(path))
    return path


@pytest.mark.parametrize(
    "name",
    ["rows.json", "rows.jsonl", "rows.parquet", "rows.csv", "rows.tsv", "shards", "saved"],
)
def test_files_are_estimated_by_their_text(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    found = data_size(DataConfig(path=str(path)))
    text = sum(len(row["instruction"]) + len(row["output"]) for row in ROWS)
    assert len(found.lengths) == pytest.approx(len(ROWS), rel=0.15 if name == "saved" else 0.01)
    assert found.lengths.mean() == pytest.approx(text / len(ROWS) / 4 + 20, rel=0.01)
    assert "estimated" in found.source


def test_compressed_text_is_taken_for_three_times_its_size(tmp_path: Path) -> None:
    found = data_size(DataConfig(path=str(write(tmp_path / "rows.jsonl.gz"))))
    assert found.lengths.mean() > 50
    assert len(found.lengths) >= len(ROWS)


def test_a_slice_is_as_long_as_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl")
    assert len(data_size(DataConfig(path=f"{path}:train[:70]")).lengths) == 70
    assert len(data_size(DataConfig(path=f"{path}:train[50%:]")).lengths) == 150


def test_a_large_file_is_known_by_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sft.estimate.data_size.SAMPLE_BYTES", 10_000)
    found = data_size(DataConfig(path=str(write(tmp_path / "rows.jsonl"))))
    assert len(found.lengths) == pytest.approx(len(ROWS), rel=0.05)


def test_what_was_tokenised_is_known_exactly_until_it_changes(
    tmp_path: Path, tokenizer: object
) -> None:
    path = write(tmp_path / "rows.jsonl")
    config = DataConfig(path=str(path))
    folder = tmp_path / "cache" / "tokens" / "some"
    folder.mkdir(parents=True)
    encoder = Encoder.of(tokenizer, PromptFormat.chatml)
    source = Source(str(path), locate(str(path)))
    write_cache(folder, source, config.sources()[0], encoder, config, NeverStop())
    found = data_size(config)
    assert "tokenized by an earlier run" in found.source
    assert found.lengths.sum() == np.fromfile(folder / "lengths", np.int32).sum()
    with path.open("a") as file:
        file.write(json.dumps(ROWS[0]) + "\n")
    assert "estimated" in data_size(config).source


def test_weights_count_and_long_rows_do_not(tmp_path: Path) -> None:
    path = str(write(tmp_path / "rows.jsonl"))
    once = data_size(DataConfig(path=path))
    half = data_size(DataConfig(path=path, weight=0.5))
    assert len(half.lengths) == len(once.lengths) / 2
    assert half.lengths.mean() == pytest.approx(once.lengths.mean(), rel=0.02)
    short = data_size(DataConfig(path=path, max_length=64))
    assert 0 < len(short.lengths) < len(once.lengths)
    assert short.lengths.max() <= 64


def test_what_is_not_there_is_assumed_and_said(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "absent.jsonl"), "owner/name"):
        found = data_size(DataConfig(path=path))
        assert len(found.lengths) > 50_000
        assert "assumed" in found.source


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.parquet", "saved"])
@pytest.mark.parametrize("rows", [[], [{"instruction": "", "output": ""}]], ids=["none", "empty"])
def test_files_without_text_are_left_to_the_run_to_refuse(
    name: str, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    found = data_size(DataConfig(path=str(write(tmp_path / name, rows))))
    assert "assumed" in found.source


def test_a_beginning_without_a_whole_row_is_no_estimate(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"instruction": "a" * 2**21, "output": "b"}) + "\n")
    assert "assumed" in data_size(DataConfig(path=str(path))).source


@pytest.mark.parametrize("max_length", [1, 2, 64, 512, 2048, 4096, 131_072])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.6, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("rows", [1, 3, 999, 1500, 6400])
def test_given_rows_have_the_given_mean(rows: int, share: float, max_length: int) -> None:
    tokens = max(1, round(share * max_length))
    found = data_size(DataConfig(path="", max_length=max_length), rows=rows, tokens=tokens)
    assert len(found.lengths) == rows
    assert found.lengths.min() >= 1
    assert found.lengths.max() <= max_length
    assert found.lengths.sum() == pytest.approx(rows * tokens, rel=1e-3)
    assert f"{counted(rows, 'row')} of {counted(tokens, 'token')}" in found.source


def test_given_rows_as_long_as_max_length_all_are() -> None:
    found = data_size(DataConfig(path="", max_length=4096), rows=6400, tokens=4096)
    assert set(found.lengths) == {4096}


def test_given_lengths_are_spread_where_max_length_is_far() -> None:
    found = data_size(DataConfig(path=""), rows=1000, tokens=300).lengths
    assert found.std() > 100
    assert np.log(found).std() == pytest.approx(0.7, rel=0.1)


def test_a_mean_above_max_length_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"--tokens = 4097: no row .* data.max_length = 4096; raise"
    ):
        data_size(DataConfig(path="", max_length=4096), rows=10, tokens=4097)


def test_rows_alone_are_taken_to_be_like_alpacas() -> None:
    found = data_size(DataConfig(path=""), rows=2000)
    assert len(found.lengths) == 2000
    assert found.lengths.mean() == pytest.approx(120, rel=0.01)
    assert data_size(DataConfig(path="", max_length=64), rows=2000).lengths.max() == 64
