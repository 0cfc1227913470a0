from pathlib import Path

import pytest

from eval.harness.parts import whole_folder


def test_a_folder_appears_when_all_is_written(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "suite" / "target") as partial:
        (partial / "results.json").write_text("{}")
        assert not (tmp_path / "suite" / "target").exists()
    assert (tmp_path / "suite" / "target" / "results.json").read_text() == "{}"
    assert [path.name for path in (tmp_path / "suite").iterdir()] == ["target"]


def test_a_failure_leaves_no_folder_and_its_rest_is_thrown_away(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "target") as partial:
            (partial / "half").touch()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert not (tmp_path / "target").exists()
    with whole_folder(tmp_path / "target") as partial:
        (partial / "whole").touch()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["whole"]
