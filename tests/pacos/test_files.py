from pathlib import Path

import pytest

from pacos.files import append_jsonl, atomic_write, read_jsonl, write_jsonl


def test_append_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"a": 1}])
    with path.open("a") as file:
        file.write('{"a": 2, "tex')
    assert list(read_jsonl(path)) == [{"a": 1}]
    append_jsonl(path, [{"a": 3}])
    assert list(read_jsonl(path)) == [{"a": 1}, {"a": 3}]


def test_a_torn_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"a": 1}])
    with path.open("a") as file:
        file.write('{"a": "' + "x" * 200_000)
    append_jsonl(path, [{"a": 2}])
    assert list(read_jsonl(path)) == [{"a": 1}, {"a": 2}]


def test_a_broken_whole_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\nnot json\n{"a": 2}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl:2"):
        list(read_jsonl(path))


def test_an_absent_file_has_no_records(tmp_path: Path) -> None:
    assert list(read_jsonl(tmp_path / "none.jsonl")) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    atomic_write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        atomic_write(path, "\ud800")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]


def test_korean_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"text": "안녕하세요"}])
    assert "안녕하세요" in path.read_text(encoding="utf-8")
