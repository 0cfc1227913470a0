"""The decision of a job after a life of its run has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.on_node import FRUITLESS_LIVES, end
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, EXIT_USER_ERROR
from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.run.stop import TIME_IS_OVER
from pacos.run_paths import RunPaths

SAID = "srun: error: node2: task 1: Killed\nsrun: error: node1: task 0: Exited with exit code 1\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    run = RunPaths(tmp_path)
    run.config.touch()
    return run


def decide(run: RunPaths, code: int = 1, asked: str = "", said: str = "") -> str:
    file = run.path / "said"
    file.write_text(said)
    return end(run, code, file, asked)


@pytest.mark.parametrize(
    ("code", "asked", "decision"),
    [
        (EXIT_DONE, "", "next=end code=0"),
        (EXIT_DONE, "again", "next=end code=0"),
        (EXIT_USER_ERROR, "", "next=end code=2"),
        (EXIT_SAVED, "again", "next=again code=85"),
        (EXIT_SAVED, "", "next=end code=85"),
        (EXIT_SAVED, "end", "next=end code=85"),
        (EXIT_CRASH, "", "next=again code=1"),
        (EXIT_CRASH, "end", "next=end code=1"),
    ],
)
def test_the_run_says_how_its_life_ended(
    run: RunPaths, code: int, asked: str, decision: str
) -> None:
    lives = Lives(run)
    lives.begin()
    lives.end(State.done, "it says so", code)
    assert decide(run, 1, asked).startswith(decision)


def test_a_life_that_ends_before_its_time_is_over_goes_on(run: RunPaths) -> None:
    lives = Lives(run)
    lives.begin()
    lives.end(State.saved, f"{TIME_IS_OVER} in 50 s", EXIT_SAVED)
    assert decide(run, 0) == "next=again code=85 exclude=''"


def test_the_word_of_an_earlier_life_is_not_taken_for_this_one(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(run)
    lives.begin()
    lives.end(State.done, "done", EXIT_DONE)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert decide(run, 0).startswith("next=end code=1")


def test_a_killed_life_is_told_with_its_node(run: RunPaths) -> None:
    Lives(run).begin()
    assert decide(run, 137, said=SAID) == "next=again code=1 exclude=''"
    *_, ended = read_jsonl(run.attempts)
    assert ended["reason"] == "srun: error: node2: task 1: Killed"
    assert ended["node"] == "node2"
    assert Lives(run).state() is State.failed


def test_a_node_that_ends_two_lives_is_left_out(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for restart in ("", "1"):
        monkeypatch.setenv("SLURM_RESTART_COUNT", restart)
        Lives(run).begin()
        decision = decide(run, 137, said=SAID)
    assert decision == "next=again code=1 exclude=node2"


def test_lives_that_come_to_no_new_checkpoint_are_counted(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.checkpoints.mkdir()
    decisions = []
    for life in range(FRUITLESS_LIVES + 2):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(life))
        Lives(run).begin()
        step = min(life, 1)
        (run.checkpoints / "latest").write_text(f"step-{step}\n")
        decisions.append(decide(run).split()[0])
    assert decisions == ["next=again"] * (FRUITLESS_LIVES + 1) + ["next=end"]
