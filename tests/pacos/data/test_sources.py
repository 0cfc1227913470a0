"""Rows on disk in every form that is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from pacos.data.location import SourceKind, locate
from pacos.data.sources import open_source
from pacos.errors import UserError

ROWS = [{"instruction": f"Count to {n}.", "input": "", "output": "1"} for n in range(3)]


def as_lines(folder: Path) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def as_list(folder: Path) -> str:
    path = folder / "rows.json"
    path.write_text(json.dumps(ROWS, indent=1))
    return str(path)


def as_lines_named_json(folder: Path) -> str:
    return str(Path(as_lines(folder)).rename(folder / "lines.json"))


def as_parquet(folder: Path) -> str:
    path = folder / "rows.parquet"
    datasets.Dataset.from_list(ROWS).to_parquet(path)
    return str(path)


def as_saved(folder: Path) -> str:
    datasets.Dataset.from_list(ROWS).save_to_disk(folder / "saved")
    return str(folder / "saved")


def as_saved_splits(folder: Path) -> str:
    datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)).save_to_disk(folder / "splits")
    return str(folder / "splits")


def as_run(folder: Path) -> str:
    (folder / "run" / "data").mkdir(parents=True)
    as_lines(folder)
    (folder / "rows.jsonl").rename(folder / "run" / "data" / "data.jsonl")
    return str(folder / "run")


FORMS = [as_lines, as_list, as_lines_named_json, as_parquet, as_saved, as_saved_splits, as_run]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbered_rows(
    tmp_path: Path, form: Callable[[Path], str]
) -> None:
    source = open_source(form(tmp_path))
    assert list(source.records()) == list(enumerate(ROWS, start=1))
    assert source.files[0].is_file()


def test_places_name_lines_only_where_there_are_lines(tmp_path: Path) -> None:
    assert open_source(as_lines(tmp_path)).place(2).endswith("rows.jsonl:2")
    assert open_source(as_list(tmp_path)).place(2).endswith("rows.json, row 2")


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    path = Path(as_lines(tmp_path))
    before = open_source(str(path)).digest()
    assert open_source(str(path.rename(tmp_path / "other.jsonl"))).digest() == before
    with (tmp_path / "other.jsonl").open("a") as file:
        file.write("\n")
    assert open_source(str(tmp_path / "other.jsonl")).digest() != before


def test_a_data_set_of_the_hub_is_loaded_by_id_and_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def load_dataset(name: str, **options: Any) -> Any:
        asked.update(options, name=name)
        return datasets.load_from_disk(as_saved(tmp_path))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = open_source("tatsu-lab/alpaca@main")
    assert (asked["name"], asked["revision"], asked["split"]) == (
        "tatsu-lab/alpaca",
        "main",
        "train",
    )
    assert [row for _, row in source.records()] == ROWS
    assert source.place(3) == "tatsu-lab/alpaca, row 3"


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nobody/nothing: cannot be loaded"):
        open_source("nobody/nothing")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("owner/name", SourceKind.hub),
        ("owner/name-2.1", SourceKind.hub),
        ("owner/name@abc", SourceKind.hub),
    ],
)
def test_hub_ids_are_told_from_paths(path: str, kind: SourceKind) -> None:
    assert locate(path).kind is kind


@pytest.mark.parametrize("path", ["rows.jsonl", "data/rows.jsonl", "/a/b", "./a/b", "a/b/c", "a"])
def test_a_file_that_is_not_there_is_no_hub_id(path: str) -> None:
    with pytest.raises(UserError, match=r"^no "):
        locate(path)


def test_files_and_folders_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("instruction,output\n")
    with pytest.raises(UserError, match=r"\.csv does not tell the format"):
        locate(str(tmp_path / "rows.csv"))
    with pytest.raises(UserError, match=r"no .*data.jsonl, and no data set that datasets saved"):
        locate(str(tmp_path))


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    path = Path(as_parquet(tmp_path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"rows.parquet: cannot be read as Parquet"):
        list(open_source(str(path)).records())


def test_a_saved_data_set_without_rows_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).select([]).save_to_disk(tmp_path / "d")
    with pytest.raises(UserError, match="holds no rows"):
        open_source(str(tmp_path / "d"))


def test_a_saved_data_set_without_a_train_split_is_refused(tmp_path: Path) -> None:
    datasets.DatasetDict(test=datasets.Dataset.from_list(ROWS)).save_to_disk(tmp_path / "d")
    with pytest.raises(UserError, match="no split train, only test"):
        open_source(str(tmp_path / "d"))
