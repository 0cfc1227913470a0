"""Rows on disk in every form that is read."""

import bz2
import gzip
import json
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from pyarrow import feather

from pacos.data import tables
from pacos.data.layout import LocationError
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


def as_object(folder: Path) -> str:
    path = folder / "rows.json"
    path.write_text(json.dumps({"data": ROWS, "version": 1}))
    return str(path)


def as_csv(folder: Path) -> str:
    path = folder / "rows.csv"
    path.write_text("instruction,input,output\n" + "".join(f"Count to {n}.,,1\n" for n in range(3)))
    return str(path)


def as_tsv(folder: Path) -> str:
    path = Path(as_csv(folder))
    path.with_suffix(".tsv").write_text(path.read_text().replace(",", "\t"))
    return str(path.with_suffix(".tsv"))


def as_feather(folder: Path) -> str:
    feather.write_feather(pyarrow.Table.from_pylist(ROWS), str(folder / "rows.feather"))
    return str(folder / "rows.feather")


def as_arrow(folder: Path) -> str:
    path, table = folder / "rows.arrow", pyarrow.Table.from_pylist(ROWS)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return str(path)


FILES = [as_lines, as_list, as_object, as_csv, as_tsv, as_parquet, as_feather, as_arrow]
FORMS = [*FILES, as_lines_named_json, as_saved, as_saved_splits, as_run]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACOS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows_of(path: str | Path) -> list[Any]:
    return [row for _, row in open_source(str(path)).records()]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbered_rows(
    tmp_path: Path, form: Callable[[Path], str]
) -> None:
    source = open_source(form(tmp_path))
    assert list(source.records()) == list(enumerate(ROWS, start=1))
    assert source.count() == len(ROWS)
    assert source.files[0].is_file()
    sent = pickle.loads(pickle.dumps(list(source.chunks())))
    assert [record for chunk in sent for record in chunk.records()] == list(source.records())


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("form", FILES)
def test_every_file_may_be_compressed(
    tmp_path: Path, form: Callable[[Path], str], suffix: str
) -> None:
    plain = Path(form(tmp_path))
    path = plain.with_name(plain.name + suffix)
    path.write_bytes(COMPRESS[suffix](plain.read_bytes()))
    plain.unlink()
    assert rows_of(path) == ROWS
    # Random bytes behind the header: cutting off what compresses to nothing would change nothing.
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=rf"rows\.\w+\{suffix}: .*was its copy cut off"):
        rows_of(path)


def test_frames_of_a_compressed_file_are_all_read(tmp_path: Path) -> None:
    lines = Path(as_lines(tmp_path)).read_bytes().splitlines(keepends=True)
    path = tmp_path / "frames.jsonl.zst"
    path.write_bytes(b"".join(map(zstandard.compress, lines)))
    assert rows_of(path) == ROWS


def test_fields_of_csv_stay_the_text_that_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('\ufeffa,b,c\n001,NA,None\n"x\ny","1,5",\n\n1e3,"""q""",null\n')
    assert rows_of(path) == [
        {"a": "001", "b": "NA", "c": "None"},
        {"a": "x\ny", "b": "1,5", "c": ""},
        {"a": "1e3", "b": '"q"', "c": "null"},
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,b\n1,2\n1\n", r"rows.csv:3: has 1 fields, but the header has 2"),
        (b"a,b\n1,2,3\n", r"rows.csv:2: has 3 fields, but the header has 2"),
        (b"a,b,a\n", r"rows.csv:1: has two columns a; rename"),
        (b'a,b\n1,2\n1,"2\n', r"rows.csv:3: cannot be read as CSV: unexpected end of data"),
        ("a,b\n1,노래\n".encode("cp949"), r"rows.csv:2: not UTF-8: byte 0xb3 .*CP949"),
        ("a,b\n1,2\n".encode("utf-16"), r"rows.csv:1: is UTF-16.*iconv"),
    ],
)
def test_csv_that_would_lose_something_is_refused_with_its_line(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        rows_of(path)


def test_the_index_that_pandas_writes_is_a_column(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(",a\n0,Hello\n")
    assert rows_of(tmp_path / "rows.csv") == [{"Unnamed: 0": "0", "a": "Hello"}]


@pytest.mark.parametrize("content", ["", "\n", "a,b\n"])
def test_csv_without_rows_has_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.csv").write_text(content)
    assert rows_of(tmp_path / "rows.csv") == []


def test_a_table_is_converted_once_whatever_its_name(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(as_parquet(tmp_path))
    assert rows_of(path) == ROWS

    def never(*given: Any) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(tables, "_convert", never)
    assert rows_of(path.rename(tmp_path / "moved.parquet")) == ROWS
    (folder,) = (folder for folder in (cache / "tables").iterdir() if folder.is_dir())
    assert [file.name for file in folder.iterdir()] == ["rows-00000.arrow"]


def shards(folder: Path, names: list[str]) -> Path:
    """One row per file, in the order of the names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"n": number}) + "\n")
    return folder


def test_shards_are_read_in_natural_order_and_places_name_them(tmp_path: Path) -> None:
    folder = shards(tmp_path / "f", ["part-1.jsonl", "part-10.jsonl", "part-2.jsonl"])
    (folder / "README.md").write_text("# rows")
    (folder / "LICENSE").touch()
    (folder / ".hidden.csv").touch()
    with (folder / "part-2.jsonl").open("a") as file:
        file.write('\n{"n": 3}\n')
    source = open_source(str(folder))
    numbers, rows = zip(*source.records(), strict=True)
    assert [row["n"] for row in rows] == [0, 2, 3, 1]
    places = [source.place(number).rpartition("/")[2] for number in numbers]
    assert places == ["part-1.jsonl:1", "part-2.jsonl:1", "part-2.jsonl:3", "part-10.jsonl:1"]
    assert source.notes == []


def test_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    folder = shards(tmp_path / "f", ["a.jsonl", "rows.zip"])
    (note,) = open_source(str(folder)).notes
    assert "not read" in note
    assert "rows.zip" in note
    folder = shards(tmp_path / "g", ["train.jsonl", "test.jsonl", "dev.jsonl"])
    (note,) = open_source(str(folder)).notes
    assert note.endswith(
        "g: its split train is read; not read: validation, test (PATH:SPLIT takes one)"
    )
    assert open_source(f"{folder}:train").notes == []
    (note,) = open_source(as_object(tmp_path)).notes
    assert note.endswith("rows.json: its rows are the list data; not read: version")


def test_folders_behind_links_are_read(tmp_path: Path) -> None:
    folder = shards(tmp_path / "f", ["a.jsonl"])
    (folder / "more").symlink_to(shards(tmp_path / "other", ["b.jsonl"]))
    (folder / "again").symlink_to(folder)
    assert len(rows_of(folder)) == 2


def test_shards_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = shards(tmp_path / "f", ["part-00000-of-00003.jsonl", "part-00002-of-00003.jsonl"])
    (note,) = open_source(str(folder)).notes
    assert note.endswith("f: shards are missing: part-00001-of-00003.jsonl")


def test_a_folder_of_several_kinds_is_refused_by_name(tmp_path: Path) -> None:
    folder = shards(tmp_path / "f", ["a.jsonl", "b.csv"])
    with pytest.raises(UserError, match=r"several kinds, such as a.jsonl and b.csv; give one file"):
        open_source(str(folder))


def test_places_name_lines_only_where_there_are_lines(tmp_path: Path) -> None:
    assert open_source(as_lines(tmp_path)).place(2).endswith("rows.jsonl:2")
    assert open_source(as_list(tmp_path)).place(2).endswith("rows.json, row 2")


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    path = Path(as_lines(tmp_path))
    before = open_source(str(path)).digest()
    assert open_source(str(path.rename(tmp_path / "other.jsonl"))).digest() == before
    assert open_source(f"{tmp_path}/other.jsonl:train[:1]").digest() != before
    with (tmp_path / "other.jsonl").open("a") as file:
        file.write("\n")
    assert open_source(str(tmp_path / "other.jsonl")).digest() != before


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.jsonl", "test.jsonl"], {"train": [0], "test": [1]}),
        (["a.jsonl", "eval.jsonl"], {"train": [0], "test": [1]}),
        (["my-dev-set.jsonl", "training_1.jsonl"], {"validation": [0], "train": [1]}),
        (["train/a.jsonl", "train/b.jsonl", "val/a.jsonl"], {"train": [0, 1], "validation": [2]}),
        (
            ["data/train_sft-00000-of-00002.jsonl", "data/train_sft-00001-of-00002.jsonl"],
            {"train_sft": [0, 1]},
        ),
        (["contest.jsonl", "trainer.jsonl"], {"train": [0, 1]}),
        (["part-00000-of-00002.jsonl", "part-00001-of-00002.jsonl"], {"train": [0, 1]}),
    ],
)
def test_names_tell_the_split(
    tmp_path: Path, names: list[str], splits: dict[str, list[int]]
) -> None:
    folder = shards(tmp_path / "f", names)
    for split, numbers in splits.items():
        assert [row["n"] for row in rows_of(f"{folder}:{split}")] == numbers


CARD = """---
license: mit
configs:
- config_name: main
  data_files:
  - split: train
    path: main/a*
  - split: test
    path: [main/b.jsonl]
- config_name: other
  data_files: other/*
---
# Rows
"""


def carded(folder: Path) -> Path:
    names = ["main/a1.jsonl", "main/a2.jsonl", "main/b.jsonl", "other/c.jsonl", "unnamed.csv"]
    shards(folder, names)
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (":main/train", [0, 1]),
        (":main", [0, 1]),
        (":main/test", [2]),
        (":other", [3]),
        (":main/train[1:]", [1]),
        (":main/train[:50%]", [0]),
        (":main/train[-1:]", [1]),
        (":main/train[:9]", [0, 1]),
    ],
)
def test_a_card_names_subsets_and_splits_as_for_datasets(
    tmp_path: Path, choice: str, numbers: list[int]
) -> None:
    folder = carded(tmp_path / "f")
    assert [row["n"] for row in rows_of(f"{folder}{choice}")] == numbers
    subset, _, split = choice.strip(":").partition("/")
    peer = datasets.load_dataset(
        str(folder), subset, split=split or "train", cache_dir=str(tmp_path / "peer")
    )
    assert peer["n"][:] == numbers


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ("", "has several subsets; its subsets are main, other; name one"),
        (":nothing", "has no split or subset nothing; its subsets are main, other; name one"),
        (":nothing/train", "has no subset nothing; its subsets are main, other; name one"),
        (":main/dev", "has no split dev in the subset main, only train, test; name one"),
        (":main/train[5]", r"\[5\] is no slice; write \[:1000\]"),
        (":main@v1", "@v1 is a revision, which only data sets on the hub have"),
    ],
)
def test_subsets_and_splits_that_do_not_exist_are_answered_with_those_that_do(
    tmp_path: Path, choice: str, says: str
) -> None:
    path = f"{carded(tmp_path / 'f')}{choice}"
    with pytest.raises(UserError, match=says):
        open_source(path)
    with pytest.raises(LocationError):
        locate(path)


def test_splits_of_a_saved_data_set(tmp_path: Path) -> None:
    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk(tmp_path / "d")
    assert rows_of(tmp_path / "d") == ROWS
    assert rows_of(f"{tmp_path}/d:test") == ROWS[1:2]
    assert list(open_source(f"{tmp_path}/d:train[1:]").records()) == [(2, ROWS[1]), (3, ROWS[2])]
    with pytest.raises(UserError, match="no split or subset dev; its splits are train, test"):
        open_source(f"{tmp_path}/d:dev")


def test_an_existing_path_wins_over_its_meaning(tmp_path: Path) -> None:
    path = tmp_path / "a:b[1]@c.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n")
    assert rows_of(path) == ROWS[:1]
    assert rows_of(f"{path}:train[:1]") == ROWS[:1]


def test_a_data_set_of_the_hub_is_resolved_by_datasets_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = carded(tmp_path / "f")
    load, asked = datasets.load_dataset_builder, []

    def of_folder(name: str, subset: str | None = None, **options: Any) -> Any:
        asked.append((name, subset, options))
        return load(str(folder), subset, cache_dir=str(tmp_path / "hf"))

    def unknown(*given: Any, **options: Any) -> Any:
        raise datasets.exceptions.DatasetNotFoundError("no such")

    def no_network(*given: Any, **options: Any) -> Any:
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(datasets, "load_dataset_builder", of_folder)
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda *a, **k: ["main", "other"])
    source = open_source("owner/name:main/train[1:]@abc")
    assert asked[-1] == ("owner/name", "main", {"revision": "abc"})
    (record,) = source.records()
    assert record[1] == {"n": 1}
    assert source.place(record[0]) == "owner/name:main/train[1:]@abc, a2.jsonl:1"
    assert rows_of("owner/name:other") == [{"n": 3}]
    with pytest.raises(UserError, match="name: has several subsets; its subsets are main, other"):
        open_source("owner/name")
    with pytest.raises(UserError, match="no split dev in the subset main, only train, test"):
        open_source("owner/name:main/dev")
    monkeypatch.setattr(datasets, "load_dataset_builder", unknown)
    with pytest.raises(UserError, match=r"cannot be loaded: no such; check its name and your acc"):
        open_source("owner/none")
    monkeypatch.setattr(datasets, "load_dataset_builder", no_network)
    assert rows_of("owner/name:main/train[1:]@abc") == [{"n": 1}]
    with pytest.raises(
        UserError, match=r"no network; .* pacos prefetch data.path=owner/name:main/test@abc$"
    ):
        open_source("owner/name:main/test@abc")
    with pytest.raises(UserError, match=r"prefetch 'data.path=\"owner/name:main/dev\[:9\]\"'$"):
        open_source("owner/name:main/dev[:9]", "validation.path")


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nobody/nothing: cannot be loaded"):
        open_source("nobody/nothing")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("owner/name", (None, None, None)),
        ("owner/name-2.1", (None, None, None)),
        ("owner/name@abc", (None, None, "abc")),
        ("owner/name@refs/pr/1", (None, None, "refs/pr/1")),
        ("owner/name:main/train", ("main/train", None, None)),
        ("owner/name:train_sft", ("train_sft", None, None)),
        ("owner/name:train[:1000]", ("train", "[:1000]", None)),
        ("owner/name:main/train[10%:20%]@v1.0", ("main/train", "[10%:20%]", "v1.0")),
    ],
)
def test_hub_ids_are_told_from_paths(path: str, parts: tuple[str | None, ...]) -> None:
    location = locate(path)
    assert location.kind is SourceKind.hub
    assert location.on_hub
    assert (location.choice, location.cut, location.revision) == parts


@pytest.mark.parametrize(
    "path",
    ["rows.jsonl", "data/rows.jsonl", "/a/b", "./a/b", "a/b/c", "a", "a/rows.csv.gz:train", "a:b"],
)
def test_a_file_that_is_not_there_is_no_hub_id(path: str) -> None:
    with pytest.raises(UserError, match=r"^no "):
        locate(path)


def test_files_and_folders_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").touch()
    with pytest.raises(UserError, match=r"\.xlsx does not tell the format"):
        locate(str(tmp_path / "rows.xlsx"))
    with pytest.raises(
        UserError, match=r"no .*data.jsonl, no data set that datasets saved, and no"
    ):
        locate(str(tmp_path))


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    path = Path(as_parquet(tmp_path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"rows.parquet: cannot be read as Parquet"):
        rows_of(path)


def test_a_table_that_datasets_cannot_hold_is_told(tmp_path: Path) -> None:
    twice = pyarrow.table([["a"], ["b"], ["c"]], names=["question", "answer", "answer"])
    maps = pyarrow.table({"a": pyarrow.array([[("k", "v")]], pyarrow.map_("string", "string"))})
    for name, table, says in (
        ("twice", twice, "has it a column twice"),
        ("maps", maps, "change the column that datasets has no type for"),
    ):
        pyarrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(UserError, match=rf"{name}.parquet: cannot be read as Parquet.*{says}"):
            rows_of(tmp_path / f"{name}.parquet")


def test_a_saved_data_set_without_rows_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).select([]).save_to_disk(tmp_path / "d")
    with pytest.raises(UserError, match="holds no rows"):
        rows_of(tmp_path / "d")


def test_a_saved_data_set_without_a_train_split_is_refused(tmp_path: Path) -> None:
    datasets.DatasetDict(test=datasets.Dataset.from_list(ROWS)).save_to_disk(tmp_path / "d")
    with pytest.raises(UserError, match="no split train, only test"):
        open_source(str(tmp_path / "d"))
