"""Ranks that hang are found, named and ended; the next life goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pacos.errors import EXIT_CRASH
from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.config import SFTConfig
from sft.monitor.watchdog import Position, Watchdog, diagnosis
from sft.steps.record import Step, StepRecord
from tests.faults.kill_points import mortal_life, run_config
from tests.pacos.run.test_open import a_config

HOSTS = ["node1", "node1", "node2", "node2"]


def at(beats: int, place: str = "pass", step: int = 41) -> Position:
    return Position(beats=beats, step=step, place=place, seconds=612.3)


def test_a_rank_that_does_not_answer_is_named_with_its_machine() -> None:
    reports = {0: at(9, "end of step"), 1: at(9, "end of step"), 3: at(9, "end of step")}
    assert diagnosis(reports, HOSTS) == (
        "no progress for 612 s after step 41: rank 2 on node2 did not answer (frozen, killed or "
        "cut off); the others wait in: end of step"
    )


def test_a_rank_that_is_behind_is_named_with_where_it_is() -> None:
    reports = {rank: at(9, "end of step") for rank in range(4)} | {1: at(7, "pass")}
    assert "rank 1 on node1 did not get beyond: pass; the others" in diagnosis(reports, HOSTS)


def test_a_collective_that_does_not_end_is_told_as_one() -> None:
    reports = {rank: at(1, "validation", step=0) for rank in range(4)}
    assert "in the first step: all ranks wait for each other in: valid" in diagnosis(reports, HOSTS)


@dataclass(frozen=True)
class Hangs:
    """A plant: rank 1 freezes, or sleeps, when it is to make the third step."""

    frozen: bool

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        from sft.trainer import Trainer

        plain = Trainer.train_step

        def planted(trainer: Trainer, step: Step) -> StepRecord:
            if step.number == 3 and os.environ["RANK"] == "1":
                if self.frozen:
                    os.kill(os.getpid(), signal.SIGSTOP)
                else:
                    asleep_for_ever()
            return plain(trainer, step)

        Trainer.train_step = planted
        yield


def asleep_for_ever() -> None:
    time.sleep(1e6)


def end_what_is_frozen(run: RunPaths, ranks: list[Any]) -> None:
    """As the launcher does when another rank has ended."""
    ranks[0].join(timeout=120)
    ranks[1].kill()


@pytest.fixture
def config(tmp_path: Path) -> SFTConfig:
    config = run_config(tmp_path, "hangs")
    config.checkpoint.every_steps = 1
    config.health.hang_seconds = 3.0
    return config


def test_a_frozen_rank_ends_the_job_with_its_name_and_the_next_life_goes_on(
    config: SFTConfig,
) -> None:
    assert mortal_life(config, Hangs(frozen=True), end_what_is_frozen) == [EXIT_CRASH, -9]
    run = open_run(config)
    (life,) = read_jsonl(run.attempts)
    assert (life["state"], life["exit_code"], life["first_step"]) == ("failed", EXIT_CRASH, 1)
    assert "after step 2: rank 1 on" in life["reason"]
    assert "did not answer" in life["reason"]
    (report,) = (run.path / "stacks" / "life-1").glob("rank-*")
    assert report.name == "rank-0000.txt"
    assert "in train_step" in report.read_text()

    assert mortal_life(config, nullcontext) == [0, 0]
    assert Lives(run).state() is State.done
    assert [line[metrics.STEP] for line in read_jsonl(run.metrics)] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_rank_that_sleeps_is_shown_asleep(config: SFTConfig) -> None:
    assert mortal_life(config, Hangs(frozen=False)) == [EXIT_CRASH, EXIT_CRASH]
    run = open_run(config)
    (life,) = read_jsonl(run.attempts)
    assert "rank 1 on" in life["reason"]
    assert "did not get beyond: " in life["reason"]
    stacks = {path.name: path.read_text() for path in (run.path / "stacks" / "life-1").iterdir()}
    assert set(stacks) == {"rank-0000.txt", "rank-0001.txt"}
    assert "in asleep_for_ever" in stacks["rank-0001.txt"]


def test_a_job_that_was_suspended_goes_on(tmp_path: Path) -> None:
    run = open_run(a_config(tmp_path))
    child = os.fork()
    if child == 0:
        watchdog = Watchdog(run, 1, 0, ["here"], hang_seconds=2.0)
        with watchdog:
            for _ in range(10):
                time.sleep(0.3)
                watchdog.beat("pass")
        os._exit(0)
    time.sleep(0.7)
    os.kill(child, signal.SIGSTOP)
    time.sleep(4)
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert not (run.path / "stacks").exists()


def test_what_may_take_long_is_left_its_time(tmp_path: Path) -> None:
    run = open_run(a_config(tmp_path))
    with Watchdog(run, 1, 0, ["here"], hang_seconds=0.5) as watchdog:
        watchdog.beat("checkpoint", at_least=30.0)
        time.sleep(1.5)
    assert not (run.path / "stacks").exists()
