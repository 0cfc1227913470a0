"""The one stop interface: of a process, of all ranks, and of work that nobody stops."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from pacos.distributed import World
from pacos.run.stop import LEAST_RESERVE, NEVER_STOP, TIME_IS_OVER, Stopped, StopRequest
from pacos.run_paths import RunPaths
from sft.monitor.stopping import CollectiveStop
from sft.monitor.watchdog import Watchdog


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path)


@pytest.fixture
def watchdog(run: RunPaths) -> Watchdog:
    return Watchdog(run, 1, 0, ["here"], hang_seconds=60.0)


@pytest.fixture
def stop(run: RunPaths, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> CollectiveStop:
    monkeypatch.setattr("pacos.run.stop.LOOK_SECONDS", 0.0)
    world = World(rank=0, size=1, local_rank=0)
    return CollectiveStop(StopRequest(run.stop), world, torch.device("cpu"), watchdog)


def test_a_loop_goes_on_until_it_is_asked_and_shows_the_watchdog_where_it_is(
    run: RunPaths, stop: CollectiveStop, watchdog: Watchdog
) -> None:
    place = stop.during("suite", 30.0)
    place.check()
    assert place.reason() is None
    assert (watchdog._place, watchdog._allowed) == ("suite", 30.0)
    run.stop.write_text("enough\n")
    assert place.reason() == "enough"
    assert stop.is_requested
    with pytest.raises(Stopped, match="enough"):
        place.check()


def test_work_of_one_rank_is_followed_by_an_agreement(run: RunPaths, stop: CollectiveStop) -> None:
    with stop.agreed_after("tokens"):
        pass
    with pytest.raises(Stopped, match="STOP file"), stop.agreed_after("tokens"):
        run.stop.touch()


def test_the_reserve_is_twice_a_step_and_a_checkpoint(
    stop: CollectiveStop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, seconds = time.time(), 10 * LEAST_RESERVE
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(int(now - 100 * LEAST_RESERVE)))
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(now + 20 * LEAST_RESERVE)))
    assert not stop.is_requested
    stop.reserve(seconds)
    with pytest.raises(Stopped, match=TIME_IS_OVER):
        stop.during("pass").check()


def test_nobody_stops_what_cannot_be_stopped() -> None:
    NEVER_STOP.check()
    assert NEVER_STOP.reason() is None
