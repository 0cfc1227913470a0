"""Searches with Optuna, over points that are replaced by a function of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.config import AnyConfig
from launch.sweeps import runs as sweep_runs
from launch.sweeps.folder import Sweep
from launch.sweeps.search import search
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, ConfigError, UserError
from pacos.files import write_json
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from sft.config import SFTConfig

BEST = 1e-4


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pacos"])
    (tmp_path / "rows.jsonl").write_text("{}\n")
    rates = "optimizer.lr=tag(log, interval(1e-6, 1e-2))"
    fixed = ["model=tiny", "data.path=rows.jsonl", "run.name=found", "hydra.sweeper.n_trials=6"]
    return [*fixed, "search=optuna", "hydra.sweeper.sampler.seed=1", rates]


def answer(monkeypatch: pytest.MonkeyPatch, code: Callable[[int], int]) -> list[str]:
    """Give each point its distance from the best; `code` returns the exit code of the n-th one."""
    dispatched: list[str] = []

    def dispatch(config: AnyConfig) -> int:
        assert isinstance(config, SFTConfig)
        run = open_run(config)
        dispatched.append(run.path.name)
        lives = Lives(run)
        lives.begin()
        ended = code(len(dispatched))
        if ended == EXIT_DONE:
            value = abs(math.log10(config.optimizer.lr / BEST))
            objective = {"name": "loss", "value": value, "higher_is_better": False}
            write_json(run.result, {"objective": objective})
        states = {EXIT_DONE: State.done, EXIT_SAVED: State.saved}
        lives.end(states.get(ended, State.failed), "as planned", ended)
        return ended

    monkeypatch.setattr(sweep_runs, "dispatch", dispatch)
    return dispatched


def test_a_search_that_is_stopped_goes_on_to_its_last_point(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    first = answer(monkeypatch, lambda number: EXIT_SAVED if number == 3 else EXIT_DONE)
    with pytest.raises(SystemExit) as ended:
        search(SFTConfig, words)
    assert ended.value.code == EXIT_SAVED
    assert first == ["0", "1", "2"]
    second = answer(monkeypatch, lambda number: EXIT_CRASH if number == 2 else EXIT_DONE)
    assert search(SFTConfig, words) == EXIT_DONE
    assert second == ["2", "3", "4", "5"], "the stopped point first, then those that are left"
    sweep = Sweep(tmp_path / "runs" / "found")
    rates = [float(point["optimizer.lr"]) for point in sweep.varied()]
    assert len(set(rates)) == 6
    assert "5 done, 1 failed" in (shown := capsys.readouterr().out)
    nearest = min(rates[:3] + rates[4:], key=lambda rate: abs(math.log10(rate / BEST)))
    assert f"optimizer.lr={nearest:.5g}" in shown.splitlines()[-2]

    third = answer(monkeypatch, lambda number: EXIT_DONE)
    assert search(SFTConfig, words) == EXIT_DONE
    assert not third, "a search that came to its end is not repeated"
    with pytest.raises(UserError, match="is a search over another space"):
        search(SFTConfig, [*words, "epochs=7"])


def test_ctrl_c_while_jobs_are_waited_for_says_how_to_go_on(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupt(number: int) -> int:
        raise KeyboardInterrupt

    answer(monkeypatch, interrupt)
    with pytest.raises(SystemExit) as ended:
        search(SFTConfig, words)
    assert ended.value.code == EXIT_SAVED
    assert "the same command continues" in capsys.readouterr().err


def test_a_search_whose_points_all_fail_ends_at_once(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    dispatched = answer(monkeypatch, lambda number: EXIT_CRASH)
    with pytest.raises(SystemExit) as ended:
        search(SFTConfig, words)
    assert ended.value.code == 2
    assert dispatched == ["0"]
    assert "every point has failed so far" in capsys.readouterr().err


def test_a_wrong_key_is_told_before_anything_is_written(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimzer\.lr"):
        search(SFTConfig, [*words, "optimzer.lr=1"])
    assert not (tmp_path / "runs").exists()
