"""Whole runs, started as a user starts them, and signals to each of their processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pacos.errors import EXIT_CRASH, EXIT_SAVED
from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.faults.test_signals import PATIENCE, until

PACOS = Path(sys.executable).with_name("pacos")


class Job:
    """`pacos sft` over two ranks: the front, the launcher, the ranks."""

    def __init__(self, folder: Path) -> None:
        rows = folder / "rows.jsonl"
        rows.write_text('{"instruction": "Sing it.", "output": "La la la."}\n' * 40)
        self.words = [
            *("model=tiny", f"data.path={rows}", "data.max_length=64", "batch.tokens=256"),
            *("precision=fp32", "epochs=200", "checkpoint.every_steps=5"),
            *("cluster.ranks_per_node=2", f"run.root={folder}", "run.name=run"),
        ]
        self.run = RunPaths(folder / "run")
        self.start()

    def start(self, *more: str) -> None:
        self.front = subprocess.Popen(
            [PACOS, "sft", *self.words, *more], stderr=subprocess.PIPE, text=True
        )
        before = self.steps()
        until(lambda: self.front.poll() is not None or len(self.steps()) > len(before))
        assert self.front.poll() is None
        (self.launcher,) = psutil.Process(self.front.pid).children()
        self.ranks = sorted(
            (child for child in self.launcher.children() if "LOCAL_RANK" in child.environ()),
            key=lambda child: int(child.environ()["LOCAL_RANK"]),
        )
        assert len(self.ranks) == 2

    def steps(self) -> list[int]:
        return [record[metrics.STEP] for record in read_jsonl(self.run.metrics)]

    def end(self) -> tuple[int, str]:
        """Exit code and last words of the front; nothing may run on."""
        _, said = self.front.communicate(timeout=PATIENCE)
        self.assert_nothing_runs()
        return self.front.returncode, said

    def assert_nothing_runs(self) -> None:
        _, alive = psutil.wait_procs([self.launcher, *self.ranks], timeout=PATIENCE)
        assert not alive


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    started = Job(tmp_path)
    yield started
    started.front.kill()
    for process in (started.launcher, *started.ranks):
        if process.is_running():
            process.kill()


def to_the_front(job: Job) -> None:
    job.front.send_signal(signal.SIGTERM)


def to_the_launcher(job: Job) -> None:
    job.launcher.send_signal(signal.SIGUSR1)


def to_one_rank(job: Job) -> None:
    job.ranks[1].send_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("signalled", [to_the_front, to_the_launcher, to_one_rank])
def test_a_signal_saves_the_run(job: Job, signalled: Callable[[Job], None]) -> None:
    signalled(job)
    code, said = job.end()
    assert code == EXIT_SAVED, said
    assert "stopped and saved" in said
    assert Lives(job.run).state() is State.saved
    (life,) = read_jsonl(job.run.attempts)
    assert job.steps() == list(range(1, life["last_step"] + 1))
    assert job.run.newest_checkpoint() == f"step-{life['last_step']:06d}"


@pytest.mark.slow
def test_a_front_that_is_killed_leaves_a_run_that_is_saved(job: Job) -> None:
    job.front.kill()
    job.front.communicate(timeout=PATIENCE)
    job.assert_nothing_runs()
    assert Lives(job.run).state() is State.saved
    (life,) = read_jsonl(job.run.attempts)
    assert life["reason"] == "signal SIGTERM"


@pytest.mark.slow
def test_the_third_interrupt_ends_all_at_once(job: Job) -> None:
    for rank in job.ranks:
        rank.suspend()
    for _ in range(3):
        job.front.send_signal(signal.SIGINT)
        time.sleep(0.3)
    code, said = job.end()
    assert code == EXIT_CRASH
    assert "exited without recording a reason" in said
    assert Lives(job.run).state() is State.failed


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_and_the_next_start_goes_on(job: Job) -> None:
    until(lambda: job.run.newest_checkpoint() is not None)
    job.ranks[0].kill()
    code, said = job.end()
    assert code == EXIT_CRASH
    assert "pacos: rank 0 was ended by SIGKILL" in said
    (life,) = read_jsonl(job.run.attempts)
    assert (life["state"], life["first_step"]) == ("failed", 1)
    assert life["last_step"] >= 5

    job.start()
    to_the_front(job)
    assert job.end()[0] == EXIT_SAVED
    _, second = read_jsonl(job.run.attempts)
    assert second["first_step"] <= life["last_step"] + 1
    assert job.steps() == list(range(1, second["last_step"] + 1))


@pytest.mark.slow
def test_a_frozen_rank_of_a_whole_run_ends_it(job: Job) -> None:
    to_the_front(job)
    assert job.end()[0] == EXIT_SAVED
    job.start("health.hang_seconds=5")
    job.ranks[1].suspend()
    code, said = job.end()
    assert code == EXIT_CRASH
    assert "rank 1 on" in said
    assert "did not answer" in said
