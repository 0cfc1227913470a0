from pathlib import Path

from pacos.files import append_jsonl, read_jsonl
from pacos.tracking.history import cut_after, last_record


def test_steps_that_are_made_again_move_away(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_jsonl(path, [{"step": step} for step in range(1, 6)])
    cut_after(path, 3)
    assert [record["step"] for record in read_jsonl(path)] == [1, 2, 3]
    assert [r["step"] for r in read_jsonl(tmp_path / "metrics.cut.jsonl")] == [4, 5]
    cut_after(path, 3)
    assert last_record(path) == {"step": 3}


def test_no_history_yet(tmp_path: Path) -> None:
    cut_after(tmp_path / "metrics.jsonl", 0)
    assert last_record(tmp_path / "metrics.jsonl") is None
