"""A stop, wherever it comes: all ranks save and end, and the next life comes to the same end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from pacos.errors import EXIT_DONE
from pacos.files import read_jsonl, write_jsonl
from pacos.run.lives import Lives, State
from pacos.run.stop import LEAST_RESERVE, TIME_IS_OVER, Stopped, StopRequest
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.configs.validation import ValidationConfig
from tests.sft.small_runs import small_config, train

STEPS = 4


@dataclass(frozen=True)
class Signalled:
    """A plant: one rank gets SIGUSR1 when it calls a function for the nth time."""

    function: str
    nth: int
    rank: int = 1
    long_step: float = 1e9
    """Seconds from which a step is left at its next pass."""

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        owner, _, name = self.function.rpartition(".")
        plain: Callable[..., Any] = getattr(resolve_name(owner), name)
        calls = 0

        def signalled(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.nth and int(os.environ["RANK"]) == self.rank:
                os.kill(os.getpid(), signal.SIGUSR1)
            return plain(*arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sft.trainer.LONG_STEP_SECONDS", self.long_step)
            patch.setattr(self.function, signalled)
            yield


PLACES = {
    "tokens": (Signalled("sft.data.mixture.write_cache", 1, rank=0), None),
    "a pass of a long step": (Signalled("sft.trainer.backward", 3, long_step=0.0), 1),
    "validation": (Signalled("sft.validation.heldout.Validation._loss", 3), 2),
    "export": (Signalled("sft.export.writer._write_weights", 1), STEPS),
}
"""What a run is doing when the signal comes, and the last step that it has made then."""

SLOW_PLACES = {
    "the first pass": (Signalled("sft.trainer.backward", 1), 0),
    "a short step": (Signalled("sft.trainer.Trainer._peak_bytes", 2), 2),
    "answers": (Signalled("sft.validation.heldout.Validation._answers", 3), 2),
    "the first checkpoint": (Signalled("sft.checkpoints.protocol.Checkpoints.save", 1), STEPS),
}


class StoppedRuns:
    """A straight run, and runs that are stopped at places and then go on."""

    def __init__(self, folder: Path, places: dict[str, tuple[Signalled, int | None]]) -> None:
        configs, plants = [self._config(folder, "straight")], [nullcontext]
        for place, (plant, _) in places.items():
            config = self._config(folder, place.replace(" ", "-"))
            configs += [config, config]
            plants += [plant, nullcontext]
        done = train(2, configs, plants)
        assert {code for _, code in done} == {EXIT_DONE}
        self.straight = done[0][0]
        self.stopped = dict(zip(places, [run for run, _ in done[1::2]], strict=True))

    def _config(self, folder: Path, name: str) -> Any:
        validation = ValidationConfig(rows=4, every_steps=1, samples=2, sample_tokens=4)
        config = small_config(folder, name, validation=validation)
        if name == "tokens":
            # Other bytes, so that the cache has no tokens of them; the same conversations.
            rows = list(read_jsonl(folder / "rows.jsonl"))
            config.data.path = str(folder / "others.jsonl")
            write_jsonl(Path(config.data.path), [{**row, "id": str(folder)} for row in rows])
        config.checkpoint.every_steps = 3
        return config

    def check(self, place: str, last_step: int | None) -> None:
        run = self.stopped[place]
        first, second = read_jsonl(run.attempts)
        assert (first["state"], first["exit_code"]) == ("saved", 85)
        assert first["reason"] == "signal SIGUSR1"
        assert first.get("last_step") == last_step
        if last_step:
            assert second["first_step"] == last_step + 1, "nothing is lost"
        assert Lives(run).state() is State.done
        for name in (metrics.STEP, metrics.LOSS, metrics.GRAD_NORM, metrics.VALIDATION_LOSS):
            assert curve(run, name) == curve(self.straight, name)
        for name in ("samples.jsonl", "model/model.safetensors"):
            made = (run.path / name).read_bytes().replace(b"others.jsonl", b"rows.jsonl")
            assert made == (self.straight.path / name).read_bytes()


def curve(run: RunPaths, name: str) -> Sequence[Any]:
    return [record[name] for record in read_jsonl(run.metrics) if name in record]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> StoppedRuns:
    return StoppedRuns(tmp_path_factory.mktemp("stopped"), PLACES)


@pytest.fixture(scope="module")
def slow_lives(tmp_path_factory: pytest.TempPathFactory) -> StoppedRuns:
    return StoppedRuns(tmp_path_factory.mktemp("stopped"), SLOW_PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_a_stop_loses_no_whole_step(lives: StoppedRuns, place: str) -> None:
    lives.check(place, PLACES[place][1])


@pytest.mark.slow
@pytest.mark.parametrize("place", SLOW_PLACES)
def test_a_stop_loses_no_whole_step_there_either(slow_lives: StoppedRuns, place: str) -> None:
    slow_lives.check(place, SLOW_PLACES[place][1])


@pytest.fixture
def request_to_stop(tmp_path: Path) -> StopRequest:
    return StopRequest(tmp_path / "STOP")


def test_a_job_stops_in_time_to_save(
    request_to_stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("pacos.run.stop.LOOK_SECONDS", 0.0)
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(int(now - 90 * LEAST_RESERVE)))
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(now + 10 * LEAST_RESERVE)))
    request_to_stop.check()
    request_to_stop.reserve(11 * LEAST_RESERVE)
    with pytest.raises(Stopped, match=TIME_IS_OVER):
        request_to_stop.check()


def test_a_job_too_short_for_its_reserve_works_for_half_of_its_time(
    request_to_stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("pacos.run.stop.LOOK_SECONDS", 0.0)
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(int(now - 20)))
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(now + 30)))
    request_to_stop.check()
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(int(now - 40)))
    with pytest.raises(Stopped):
        request_to_stop.check()


def test_a_request_once_seen_stays(request_to_stop: StopRequest, tmp_path: Path) -> None:
    (tmp_path / "STOP").touch()
    assert request_to_stop.reason() == "STOP file"
    (tmp_path / "STOP").unlink()
    assert request_to_stop.reason() == "STOP file"
