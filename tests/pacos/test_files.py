import os
import platform
from pathlib import Path

import pytest

from pacos.files import (
    append_jsonl,
    atomic_folder,
    atomic_write,
    build_folder_once,
    read_jsonl,
    write_jsonl,
)


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


def test_a_folder_appears_when_all_is_written(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "suite" / "target") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "results.json").write_text("{}")
        assert not (tmp_path / "suite" / "target").exists()
    assert (tmp_path / "suite" / "target" / "inner" / "results.json").read_text() == "{}"
    assert [path.name for path in (tmp_path / "suite").iterdir()] == ["target"]


def test_a_folder_appears_only_after_all_of_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}"))
    )
    with atomic_folder(tmp_path / "target") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").touch()
    names = [Path(path).relative_to(tmp_path).as_posix() for path in synced]
    assert names == [".target.tmp/inner", ".target.tmp/inner/file", ".target.tmp", "."]


def test_machines_that_share_a_cache_do_not_touch_what_the_other_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models" / "model"

    def slow(partial: Path) -> None:
        (partial / "config.json").touch()
        # Meanwhile another machine builds the same folder, and is faster.
        with monkeypatch.context() as other:
            other.setattr(platform, "node", lambda: "other")
            build_folder_once(folder, lambda theirs: (theirs / "faster").touch())
        (partial / "weights").touch()

    build_folder_once(folder, slow)
    build_folder_once(folder, slow)
    assert [path.name for path in folder.iterdir()] == ["faster"]
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]


def test_a_folder_of_the_cache_that_lost_files_is_built_again(tmp_path: Path) -> None:
    folder = tmp_path / "model"

    def build(partial: Path) -> None:
        for name in ("config", "weights"):
            (partial / name).write_text("whole")

    build_folder_once(folder, build, ("config", "weights"))
    (folder / "weights").unlink()
    (folder / "config").write_text("old")
    build_folder_once(folder, build, ("config",))
    assert (folder / "config").read_text() == "old"
    build_folder_once(folder, build, ("config", "weights"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "config": "whole",
        "weights": "whole",
    }


def test_a_folder_of_the_cache_that_cannot_be_built_is_an_error(tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_folder_once(tmp_path / "model", fail)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def write(folder: Path, name: str, *, fails: bool = False, replaces: bool = False) -> None:
    with atomic_folder(folder, replaces=replaces) as partial:
        (partial / name).touch()
        if fails:
            raise OSError("disk full")


def test_a_failure_leaves_nothing_and_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "target", "half", fails=True)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".target.tmp").mkdir()
    (tmp_path / ".target.tmp" / "half").touch()
    write(tmp_path / "target", "all")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["all"]


def test_an_existing_folder_is_replaced_only_on_request(tmp_path: Path) -> None:
    write(tmp_path / "target", "old")
    with pytest.raises(OSError, match="not empty"):
        write(tmp_path / "target", "new")
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "target", "new", fails=True, replaces=True)
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["old"]
    write(tmp_path / "target", "new", replaces=True)
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
