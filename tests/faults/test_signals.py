"""Signals to the launcher of ranks: it hands them on, and no rank outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pacos.errors import EXIT_USER_ERROR

LAUNCH = ["--use_deepspeed", "--num_machines", "1", "--num_processes", "2"]
LAUNCH += ["--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no"]
PATIENCE = 120
"""Seconds on a machine that does much else."""


class Launched:
    """Two ranks that idle, below `sft.engine.launcher`."""

    def __init__(self, folder: Path, not_ready: float = 0.0) -> None:
        self.folder = folder
        program = ["-m", "tests.faults.idle_rank", str(folder), str(not_ready)]
        self.launcher = subprocess.Popen(
            [sys.executable, "-m", "sft.engine.launcher", *LAUNCH, *program],
            env={**os.environ, "DS_ACCELERATOR": "cpu"},
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: len(list(folder.glob("begun-*"))) == 2)
        self.ranks = [
            psutil.Process(int(path.read_text())) for path in sorted(folder.glob("begun-*"))
        ]

    def stopped(self) -> list[str]:
        return [path.read_text() for path in sorted(self.folder.glob("stopped-*"))]

    def end(self) -> None:
        self.launcher.kill()
        self.launcher.wait()
        for rank in self.ranks:
            if rank.is_running():
                rank.kill()


def until(is_so: Callable[[], bool]) -> None:
    ends_by = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < ends_by
        time.sleep(0.05)


@pytest.fixture
def launched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Launched]:
    job = Launched(tmp_path, *getattr(request, "param", ()))
    yield job
    job.end()


@pytest.mark.parametrize("launched", [(2.0,)], indirect=True)
def test_a_signal_that_comes_before_ranks_are_ready_is_kept_for_them(launched: Launched) -> None:
    launched.launcher.send_signal(signal.SIGUSR1)
    _, said = launched.launcher.communicate(timeout=PATIENCE)
    assert launched.launcher.returncode == 0, said
    assert launched.stopped() == ["signal SIGUSR1"] * 2


def test_no_rank_outlives_its_launcher(launched: Launched) -> None:
    launched.launcher.kill()
    launched.launcher.wait()
    psutil.wait_procs(launched.ranks, timeout=PATIENCE)
    assert not any(rank.is_running() for rank in launched.ranks)
    assert launched.stopped() == []


@pytest.mark.slow
def test_a_rank_that_refuses_ends_the_others_and_its_code_is_told(launched: Launched) -> None:
    (launched.folder / "refuse").touch()
    _, said = launched.launcher.communicate(timeout=PATIENCE)
    assert launched.launcher.returncode == EXIT_USER_ERROR, said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_rank_that_is_killed_is_named(launched: Launched) -> None:
    launched.ranks[1].kill()
    _, said = launched.launcher.communicate(timeout=PATIENCE)
    assert launched.launcher.returncode == 1
    assert "pacos: rank 1 was ended by SIGKILL" in said
