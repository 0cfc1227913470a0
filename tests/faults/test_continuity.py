"""One history over all lives, whatever kills them and when."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pacos.errors import EXIT_CRASH, EXIT_SAVED, EXIT_USER_ERROR, UserError
from pacos.files import append_jsonl, atomic_write, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from pacos.tracking.history import cut_after
from pacos.tracking.open import JsonlTracker
from tests.pacos.run.test_open import a_config

INSTANTS = ("fsync", "replace", "truncate", "unlink", "write")
"""System calls right before which a process is killed."""


def killed_at(instant: int, work: Callable[[], object]) -> bool:
    """Do it in a process that is killed before that one of its calls; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = instant

        def count(call: Callable[..., object], *arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        for name in INSTANTS:
            setattr(os, name, partial(count, getattr(os, name)))
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
    return status != 0


def steps(path: Path) -> list[int]:
    return [record[metrics.STEP] for record in read_jsonl(path)]


def test_a_kill_while_history_is_cut_loses_and_doubles_nothing(tmp_path: Path) -> None:
    instant, killed = 0, True
    while killed:
        path = tmp_path / str(instant) / "metrics.jsonl"
        cut = path.with_suffix(".cut.jsonl")
        append_jsonl(path, [{"step": step} for step in (1, 2, 3, 4)])
        cut_after(path, 3)
        append_jsonl(path, [{"step": step, "again": True} for step in (4, 5)])
        killed = killed_at(instant, partial(cut_after, path, 3))
        left = sorted({*steps(path), *steps(cut)})
        assert left == [1, 2, 3, 4, 5], f"lost when killed at {instant}"
        # The next life may begin at an older checkpoint, where the newest turns out to be damaged.
        cut_after(path, 2)
        assert steps(path) == [1, 2]
        assert sorted(steps(cut)) == [3, 4, 4, 5], f"killed at {instant}"
        assert {file.name for file in path.parent.glob("[!.]*")} == {path.name, cut.name}
        instant += 1
    assert instant > 8


def test_what_more_is_said_of_the_newest_step_goes_into_its_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    JsonlTracker(path).log({"step": 7, "train/loss": 2.0})
    tracker = JsonlTracker(path)
    tracker.log({"step": 7, "validation/loss": 1.5})
    tracker.log({"step": 8, "train/loss": 1.9})
    first, second = read_jsonl(path)
    assert first == {"step": 7, "train/loss": 2.0, "validation/loss": 1.5}
    assert second["step"] == 8


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return open_run(a_config(tmp_path))


def _work(path: Path, last_step: int) -> None:
    run = RunPaths(path)
    lives = Lives(run)
    lives.begin()
    lives.note(first_step=1)
    append_jsonl(run.metrics, [{"step": step} for step in range(1, last_step + 1)])
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_next_life_says_how_a_killed_one_ended(run: RunPaths) -> None:
    killed_at(999, partial(_work, run.path, last_step=6))
    (killed,) = Lives(run).all()
    assert (killed["state"], "end" in killed) == ("running", False)
    assert Lives(run).begin() == 2
    (life,) = read_jsonl(run.attempts)
    assert (life["life"], life["state"], life["exit_code"]) == (1, "failed", EXIT_CRASH)
    assert (life["first_step"], life["last_step"]) == (1, 6)
    assert life["start"] <= life["end"]
    assert "killed" in life["reason"]


def test_a_kill_while_an_end_is_recorded_leaves_one_line_a_life(run: RunPaths) -> None:
    def live_and_end() -> None:
        mine = Lives(run)
        mine.begin()
        mine.end(State.saved, "STOP file", EXIT_SAVED)

    instant = 0
    while killed_at(instant, live_and_end):
        instant += 1
    assert instant > 6
    numbers = [life["life"] for life in Lives(run).all()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers == [life["life"] for life in read_jsonl(run.attempts)]


def test_nobody_else_says_how_a_life_ended_that_goes_on(run: RunPaths) -> None:
    lives = Lives(run)
    lives.begin()
    Lives(run).end_killed("gone")
    assert not run.attempts.exists()


def crash(run: RunPaths, times: int, code: int = EXIT_CRASH) -> None:
    lives = Lives(run)
    for _ in range(times):
        number = lives.begin()
        lives.end(State.failed, f"no luck in life {number}", code)


def test_lives_that_come_to_nothing_are_not_repeated_for_ever(run: RunPaths) -> None:
    crash(run, 3)
    with pytest.raises(UserError, match=r"the last 3 lives .* without a first check") as error:
        Lives(run).begin(fruitless_lives=3)
    assert "life 2: no luck in life 2" in str(error.value)
    assert Lives(run).count() == 3, "a refused life is none"
    assert Lives(run).begin(fruitless_lives=4) == 4


def test_a_newer_checkpoint_is_progress(run: RunPaths) -> None:
    crash(run, 2)
    atomic_write(run.checkpoints / "latest", "step-000010\n")
    crash(run, 2)
    lives = Lives(run)
    lives.begin(fruitless_lives=3)
    lives.end(State.failed, "again", EXIT_CRASH)
    with pytest.raises(UserError, match="after step-000010"):
        Lives(run).begin(fruitless_lives=3)


def test_another_setting_is_a_new_attempt(run: RunPaths, tmp_path: Path) -> None:
    crash(run, 3)
    changed = a_config(tmp_path)
    changed.deepspeed.stage = 3
    open_run(changed)
    assert Lives(run).begin(fruitless_lives=3) == 4


def test_jobs_that_end_before_anything_is_saved_come_to_nothing_too(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    lives = Lives(run)
    for _ in range(3):
        lives.begin(fruitless_lives=3)
        lives.end(State.saved, "signal SIGUSR1", EXIT_SAVED)
    with pytest.raises(UserError, match="ended without a first checkpoint"):
        Lives(run).begin(fruitless_lives=3)


@pytest.mark.parametrize("code", [EXIT_USER_ERROR, EXIT_SAVED])
def test_mistakes_and_stops_are_no_crashes(run: RunPaths, code: int) -> None:
    crash(run, 4, code)
    assert Lives(run).begin(fruitless_lives=3) == 5
