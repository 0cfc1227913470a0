"""How a life of a run ends on ranks that are not the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacos.distributed import World
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, UserError
from pacos.run import program
from pacos.run.lives import Lives, State
from pacos.run.program import live
from pacos.run_paths import RunPaths

FIRST, SECOND = World(rank=0, size=2, local_rank=0), World(rank=1, size=2, local_rank=1)


def refuse() -> None:
    raise UserError("weights.safetensors: not on this machine")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.setattr(program, "REPORT_SECONDS", 0.3)
    (tmp_path / "config.yaml").write_text("{}")
    return RunPaths(tmp_path)


def test_a_rank_that_refuses_alone_says_why(
    run: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = []
    assert live(run, FIRST, lambda: codes.append(live(run, SECOND, refuse))) == EXIT_DONE
    assert codes == [EXIT_USER_ERROR]
    said = capsys.readouterr().err
    assert "rank 1 on " in said
    assert "weights.safetensors: not on this machine" in said
    assert Lives(run).state() is State.done


def test_what_all_ranks_refuse_is_said_once(
    run: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert live(run, FIRST, refuse) == live(run, SECOND, refuse) == EXIT_USER_ERROR
    assert capsys.readouterr().err.count("not on this machine") == 1
