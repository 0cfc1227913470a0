"""Sweeps: points, folder, and which points are run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from launch.commands.resubmit import resubmit
from launch.config import AnyConfig
from launch.status.read import read_status
from launch.sweeps import runs as sweep_runs
from launch.sweeps.folder import Sweep
from launch.sweeps.points import expand
from launch.sweeps.runs import begin_sweep, dry_run_sweep
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, ConfigError, UserError
from pacos.files import append_jsonl
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.config import SFTConfig

SWEPT = ["optimizer.lr=1e-5,2e-5", "epochs=1,2"]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}\n")
    return ["model=tiny", "data.path=rows.jsonl", "run.name=scan", *SWEPT]


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the dispatched runs, each of which ends as done."""
    return answer(monkeypatch, lambda config: EXIT_DONE)


def answer(monkeypatch: pytest.MonkeyPatch, code: Callable[[AnyConfig], int]) -> list[str]:
    dispatched = []

    def dispatch(config: AnyConfig) -> int:
        run = open_run(config)
        dispatched.append(run.path.name)
        lives = Lives(run)
        lives.begin()
        ended = code(config)
        state = {EXIT_DONE: State.done, EXIT_SAVED: State.saved}.get(ended, State.failed)
        lives.end(state, state.value, ended)
        return ended

    monkeypatch.setattr(sweep_runs, "dispatch", dispatch)
    return dispatched


def test_a_dry_run_shows_every_point_and_writes_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert dry_run_sweep(expand(SFTConfig, words)) == EXIT_DONE
    shown = capsys.readouterr().out
    assert [shown.count(f"lr: {rate}") for rate in ("1.0e-05", "2.0e-05")] == [2, 2]
    assert shown.count("-m sft.train --config") == 4
    assert sorted(tmp_path.iterdir()) == before


def test_every_combination_is_a_run_in_the_sweeps_folder(
    words: list[str], tmp_path: Path, done: list[str]
) -> None:
    assert begin_sweep(expand(SFTConfig, words)) == EXIT_DONE
    sweep = Sweep(tmp_path / "runs" / "scan")
    assert sweep.varied() == [
        {"optimizer.lr": rate, "epochs": epochs}
        for rate in ("1e-05", "2e-05")
        for epochs in ("1", "2")
    ]
    assert [config.epochs for config in sweep.configs()] == [1, 2, 1, 2]
    assert {config.tracking.group for config in sweep.configs()} == {"scan"}
    assert done == ["0", "1", "2", "3"]
    assert begin_sweep(expand(SFTConfig, words)) == EXIT_DONE
    assert len(done) == 4, "nothing is repeated"


def test_only_what_failed_or_was_not_begun_is_done_again(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answer(monkeypatch, lambda config: EXIT_CRASH if config.run.name == "1" else EXIT_DONE)
    assert begin_sweep(expand(SFTConfig, words)) == EXIT_CRASH
    assert first == ["0", "1", "2", "3"], "a point that fails does not keep the others from it"
    second = answer(monkeypatch, lambda config: EXIT_DONE)
    monkeypatch.chdir("/")
    assert resubmit(Sweep(tmp_path / "runs" / "scan")) == EXIT_DONE
    assert second == ["1"]


def test_a_stopped_point_stops_the_sweep(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatched = answer(monkeypatch, lambda config: EXIT_SAVED)
    assert begin_sweep(expand(SFTConfig, words)) == EXIT_SAVED
    assert dispatched == ["0"]


def test_a_stop_in_the_last_moments_of_a_point_keeps_the_next_from_beginning(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tmp_path / "runs" / "scan"

    def done_and_asked(config: AnyConfig) -> int:
        RunPaths(sweep / "0").stop.touch()
        return EXIT_DONE

    first = answer(monkeypatch, done_and_asked)
    assert begin_sweep(expand(SFTConfig, words)) == EXIT_SAVED
    assert first == ["0"]
    second = answer(monkeypatch, lambda config: EXIT_DONE)
    assert begin_sweep(expand(SFTConfig, words)) == EXIT_DONE
    assert second == ["1", "2", "3"]


def test_all_points_are_checked_before_anything_is_written(
    words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        expand(SFTConfig, [*words, "batch.tokens=0,1024", "optimizer.lr=-1,1"])
    assert {problem.key for problem in error.value.problems} >= {"batch.tokens", "optimizer.lr"}
    assert not (tmp_path / "runs").exists()


def test_a_range_needs_a_search(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr = .*search=optuna"):
        expand(SFTConfig, [*words, "optimizer.lr=interval(0,1)"])


@pytest.mark.parametrize("other", ["epochs=3,4", "seed=7"])
def test_another_sweep_of_the_same_name_is_refused(
    words: list[str], done: list[str], other: str
) -> None:
    begin_sweep(expand(SFTConfig, words))
    with pytest.raises(UserError, match="scan"):
        begin_sweep(expand(SFTConfig, [*words, other]))
    assert len(done) == 4


def test_one_name_for_the_whole_sweep(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"run\.name = a, b"):
        begin_sweep(expand(SFTConfig, [*words, "run.name=a,b"]))


def test_status_tells_a_killed_run_from_one_at_work(words: list[str], tmp_path: Path) -> None:
    (point, *_) = expand(SFTConfig, words)
    run = open_run(point.config)
    assert read_status(run, None).state == "not started"
    lives = Lives(run)
    lives.begin()
    lines = [
        {metrics.STEP: step, metrics.EPOCH: step / 8, metrics.STEP_SECONDS: 2.0, metrics.LOSS: 1.5}
        for step in (1, 2)
    ]
    append_jsonl(run.metrics, lines)
    working = read_status(RunPaths(run.path), None)
    assert (working.state, working.done, working.total) == ("running", 2, 8)
    assert (working.loss, working.seconds_left) == (1.5, 12.0)
    del lives
    assert read_status(RunPaths(working.run.path), None).state == "killed"
