"""The row that a person names."""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pacos.errors import UserError
from sft.config import SFTConfig
from sft.preview.place import find
from tests.sft.preview.conftest import Load, row, write


def text(rows: Load, config: SFTConfig, place: str) -> str:
    (shown,) = rows(config).at(place)
    return "".join(piece.text for piece in shown.pieces)


def test_a_file_may_be_named_in_several_ways(
    config: SFTConfig, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config.data.path
    rows = load(config)
    (whole,) = rows.at(f"{path}:3")
    monkeypatch.chdir(tmp_path)
    for name in (
        "rows.jsonl",
        "./rows.jsonl",
        f"{tmp_path.name}/rows.jsonl",
        os.path.relpath(path),
    ):
        assert rows.at(f"{name}:3") == [whole]
    assert rows.at("rows.jsonl, row 3") == [whole]


def test_rows_of_tables_and_of_compressed_shards_have_numbers(
    config: SFTConfig, load: Load, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(2):
        content = "".join(f"{shard}.{n},a\n" for n in range(3))
        (folder / f"part-{shard}.csv").write_text(f"instruction,output\n{content}")
    config.data.path = str(folder)
    for place in ("part-1.csv:2", f"{folder}/part-1.csv, row 2", "shards/part-1.csv:2"):
        assert "1.1" in text(load, config, place)
    with pytest.raises(UserError, match=r"shards:2: no such file in the data, which has .*part-0"):
        load(config).at(f"{folder}:2")
    with gzip.open(tmp_path / "zipped.jsonl.gz", "wt") as file:
        file.write(
            '{"instruction": "first", "output": "a"}\n\n{"instruction": "third", "output": "a"}'
        )
    config.data.path = str(tmp_path / "zipped.jsonl.gz")
    assert "third" in text(load, config, "zipped.jsonl.gz:3")


def test_a_row_of_the_hub_is_named_as_messages_name_it(config: SFTConfig, load: Load) -> None:
    (part,) = load(config).parts
    location = replace(part.source.location, on_hub=True, path=Path("owner/name"))
    source = replace(part.source, path="owner/name:main/train", location=location)
    part = replace(part, source=source)
    for place in (source.place(3), "owner/name:main/train:3", "owner/name:3", "rows.jsonl:3"):
        assert find(place, [part]) == [(part, 3)]


def test_names_that_fit_several_files_are_refused(
    config: SFTConfig, load: Load, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other" / "rows.jsonl", [row("a")])
    config.data.mix = {other: 1}
    rows = load(config)
    (first,) = rows.at(f"{other}:1")
    assert rows.at("other/rows.jsonl:1") == [first]
    with pytest.raises(UserError, match=r"may lie in .*rows.jsonl, .*other/rows.jsonl; name one"):
        rows.at("rows.jsonl:1")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("rows.jsonl", "--row rows.jsonl: names no row; give FILE:LINE, such as rows.jsonl:12"),
        ("rows.jsonl:x", "names no row"),
        ("", "--row : names no row"),
        ("else.jsonl:1", "no such file in the data, which has "),
        ("rows.jsonl:0", "no row is there; the rows are from"),
        ("rows.jsonl:13", "no row is there; the rows are from"),
    ],
)
def test_rows_that_are_not_there(config: SFTConfig, load: Load, place: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        load(config).at(place)


def test_a_slice_ends_what_can_be_named(config: SFTConfig, load: Load) -> None:
    config.data.path += ":train[2:6]"
    assert load(config).at("rows.jsonl:3")
    with pytest.raises(UserError, match=r"rows.jsonl:9: no row is there in the slice \[2:6\]"):
        load(config).at("rows.jsonl:9")


def test_a_conversation_of_a_tree_has_the_line_of_its_last_message(
    config: SFTConfig, load: Load, tmp_path: Path
) -> None:
    messages = [
        {"message_id": "1", "parent_id": None, "text": "Hello", "role": "prompter"},
        {"message_id": "2", "parent_id": "1", "text": "Hi", "role": "assistant"},
    ]
    config.data.path = write(tmp_path / "trees.jsonl", messages)
    assert "Hi" in text(load, config, "trees.jsonl:2")
    with pytest.raises(UserError, match="a conversation has the line of its last message"):
        load(config).at("trees.jsonl:1")
