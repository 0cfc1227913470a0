"""W&B over several lives, and when it fails: the real client against a server of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacos.errors import EXIT_USER_ERROR
from pacos.files import read_json, read_jsonl
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from pacos.tracking.wandb import run_id
from tests.faults.wandb_double import WandbDouble
from tests.pacos.run.test_open import a_config

PACOS = Path(sys.executable).with_name("pacos")


@pytest.fixture
def server() -> Iterator[WandbDouble]:
    with WandbDouble() as double:
        yield double


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return open_run(a_config(tmp_path))


def nothing() -> None:
    pass


def live(
    run: RunPaths,
    server: WandbDouble,
    steps: tuple[int, int],
    mode: str = "online",
    end: str = "finish",
    meanwhile: Callable[[], None] = nothing,
    init_seconds: int = 120,
    finish_seconds: int = 120,
) -> str:
    """One life that makes some steps; returns what it said. `meanwhile` is done before its end.

    The timeouts are long, so that a server that answers is reached on a busy machine, too. A test
    whose server fails shortens the one that it waits for: a busy machine cannot make it pass.
    """
    args = [str(run.path), mode, *map(str, steps), end, str(init_seconds), str(finish_seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.tracked_life", *args],
        env={**os.environ, **server.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "logged\n"
    meanwhile()
    _, said = process.communicate("\n", timeout=300)
    assert process.returncode == (-9 if end == "kill" else 0), said
    return said


def steps_in_file(run: RunPaths) -> list[int]:
    return [record["step"] for record in read_jsonl(run.metrics)]


def sync(server: WandbDouble, *folders: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--yes", *folders],
        env={**os.environ, **server.environment()},
        cwd=folders[0].parent,
        check=True,
        capture_output=True,
    )


def upload(server: WandbDouble, *folders: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PACOS, "sync", *folders],
        env={**os.environ, **server.environment()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_id_is_made_once_and_the_environment_wins(
    run: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run_id(run)
    assert made == read_json(run.manifest)["wandb_id"]
    assert run_id(open_run(a_config(tmp_path))) == made
    assert run_id(open_run(a_config(tmp_path, "other"))) != made
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    assert run_id(run) == "mine"


def test_all_lives_are_one_run_there_and_a_killed_one_lacks_nothing(
    run: RunPaths, server: WandbDouble
) -> None:
    assert live(run, server, (1, 4), end="kill") == ""
    assert live(run, server, (4, 6)) == ""
    (name,) = server.runs
    assert name == run_id(run)
    there = server.runs[name]
    assert there.lives == 2
    assert there.logged("step") == [1, 2, 3, 4, 5, 6]
    assert there.logged("train/loss")[2] == pytest.approx(1 / 3)
    live(run, server, (6, 8))
    assert set(there.logged("step")) == set(range(1, 9))
    assert there.logged("step")[-3:] == [6, 7, 8], "steps done again are kept"
    assert steps_in_file(run) == list(range(1, 9))


@pytest.mark.slow
def test_lives_offline_become_one_run_when_they_are_uploaded(
    run: RunPaths, server: WandbDouble
) -> None:
    live(run, server, (1, 3), "offline", end="kill")
    live(run, server, (4, 5), "offline")
    assert not server.received
    sync(server, *sorted((run.path / "wandb").glob("offline-run-*")))
    (name,) = server.runs
    assert name == run_id(run)
    assert server.runs[name].logged("step") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("fault", [pytest.param("down", marks=pytest.mark.slow), "refuses the key"])
def test_a_life_without_the_server_is_kept_for_later(
    run: RunPaths, server: WandbDouble, fault: str
) -> None:
    server.status = 503 if fault == "down" else 401
    said = live(run, server, (1, 3), init_seconds=8)
    assert said.count("W&B") == 1
    assert "cannot be reached" in said
    assert steps_in_file(run) == [1, 2, 3]
    assert f"pacos sync {run.path}" in said
    if fault == "refuses the key":
        refused = upload(server, run.path)
        assert refused.returncode == EXIT_USER_ERROR
        assert "W&B failed (Failed" in refused.stderr
    server.status = 200
    done = upload(server, run.path.parent)
    assert done.stdout == f"{run.path}: 3 steps sent\n", done.stderr
    assert server.runs[run_id(run)].logged("step") == [1, 2, 3]


@pytest.mark.slow
def test_a_slow_server_delays_the_beginning_by_no_more_than_its_time(
    run: RunPaths, server: WandbDouble
) -> None:
    server.delay = 60
    said = live(run, server, (1, 3), init_seconds=8)
    assert said.count("W&B") == 1
    assert "cannot be reached" in said


@pytest.mark.slow
def test_a_server_that_fails_half_way_costs_one_warning(run: RunPaths, server: WandbDouble) -> None:
    def fail() -> None:
        server.status = 500

    said = live(run, server, (1, 3), meanwhile=fail, finish_seconds=4)
    assert said.count("W&B") == 1, said
    assert "off for the rest of this life" in said
    assert steps_in_file(run) == [1, 2, 3]
    server.status = 200
    assert upload(server, run.path).returncode == 0
    assert server.runs[run_id(run)].logged("step") == [1, 2, 3]
    live(run, server, (4, 5))
    assert set(server.runs[run_id(run)].logged("step")) == {1, 2, 3, 4, 5}


@pytest.mark.slow
def test_a_client_that_dies_costs_one_warning(run: RunPaths, server: WandbDouble) -> None:
    said = live(run, server, (1, 3), end="kill client")
    assert "off for the rest of this life" in said
    assert steps_in_file(run) == [1, 2, 3, 4]
