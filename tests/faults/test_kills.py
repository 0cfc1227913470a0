"""kill -9 of ranks: the next start goes on from a whole checkpoint, and the end is the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest

from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_USER_ERROR, UserError
from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.store import damage
from sft.configs.checkpoint import CheckpointConfig
from sft.configs.health import HealthConfig
from tests.faults.kill_points import DieAt, Meddle, Record, mortal_life, run_config
from tests.sft.checkpoints.test_protocol import assert_same_bits
from tests.sft.small_runs import Plant, write_rows

EVERY = 2
SAME = (
    metrics.LOSS,
    metrics.GRAD_NORM,
    metrics.LEARNING_RATE,
    metrics.ROWS,
    metrics.ROW_IDS,
    metrics.TOKENS,
)
"""What a step comes to, whatever happened before."""


class Trial:
    """A straight run, and one with the same config that is killed again and again."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self._folder = folder
        # Some lives in a row come to nothing here: they are to go on all the same.
        health = HealthConfig(fruitless_lives=1000)
        self._changes = {
            "checkpoint": CheckpointConfig(every_steps=EVERY),
            "health": health,
            **changes,
        }
        record = Record(folder)
        assert self._live("straight", record) == [0, 0]
        self.straight = RunPaths(folder / "runs" / "straight")
        self.killed = RunPaths(folder / "runs" / "killed")
        self.seen = [record.read(rank) for rank in (0, 1)]
        """What each rank did to its checkpoints in the straight run."""

    def _live(self, name: str, plant: Plant, meddle: Meddle | None = None) -> list[int]:
        return mortal_life(run_config(self._folder, name, **self._changes), plant, meddle)

    def kill(self, plant: Plant = nullcontext, meddle: Meddle | None = None) -> None:
        """A life that ends by kill -9; what it leaves is whole, and no less than before."""
        before = self._newest()
        codes = self._live("killed", plant, meddle)
        assert -signal.SIGKILL in codes, (codes, plant)
        for path in self.killed.checkpoints.glob("step-??????"):
            assert damage(path, CheckpointManifest.read(path).files) == []
        assert self._newest() >= before
        assert not list(self.killed.checkpoints.glob("*.broken"))

    def _newest(self) -> str:
        names = [path.name for path in self.killed.checkpoints.glob("step-??????")]
        return max(names, default="")

    def end(self) -> None:
        """The last life: it comes to the end of the straight run, bit for bit."""
        assert self._live("killed", nullcontext) == [0, 0]
        assert Lives(self.killed).state() is State.done
        assert_same_bits(self.killed.path, self.straight.path)
        names = [run.model / "model.safetensors" for run in (self.killed, self.straight)]
        assert names[0].read_bytes() == names[1].read_bytes()
        assert steps(self.killed) == steps(self.straight)
        left = {path.name for path in self.killed.checkpoints.iterdir()}
        assert left == {path.name for path in self.straight.checkpoints.iterdir()}


def steps(run: RunPaths) -> list[dict[str, Any]]:
    records = list(read_jsonl(run.metrics))
    assert [record[metrics.STEP] for record in records] == list(range(1, len(records) + 1))
    return [{name: record[name] for name in SAME} for record in records]


def moments(seen: Sequence[str]) -> list[str]:
    """Different things that a rank does once there is a checkpoint, in their order."""
    return list(dict.fromkeys(seen[len(seen) // 2 :]))


def after(seconds: float, victims: Sequence[int]) -> Meddle:
    """Kill ranks some time after the life's first step."""

    def meddle(run: RunPaths, ranks: list[Any]) -> None:
        size = run.metrics.stat().st_size if run.metrics.exists() else 0
        while all(rank.is_alive() for rank in ranks):
            if run.metrics.exists() and run.metrics.stat().st_size != size:
                break
            time.sleep(0.005)
        time.sleep(seconds)
        for victim in victims:
            os.kill(ranks[victim].pid, signal.SIGKILL)

    return meddle


def test_killed_while_it_writes_publishes_and_removes(tmp_path: Path) -> None:
    trial = Trial(tmp_path, epochs=3)
    trial.kill(DieAt(1, "tensor", 40))
    trial.kill(DieAt(0, "os.rename .tmp", 2))
    trial.kill(DieAt(0, "os.rename ", 1))
    trial.kill(meddle=after(0.02, [0, 1]))
    trial.end()


@pytest.mark.slow
def test_killed_at_every_moment_of_a_save_and_at_any_other(tmp_path: Path) -> None:
    draw = random.Random(0)
    trial = Trial(tmp_path, epochs=60)
    plants = [
        DieAt(rank, what, nth)
        for rank in (0, 1)
        for what in moments(trial.seen[rank])
        if what != "tensor"
        for nth in (1, 2)
    ]
    plants += [DieAt(draw.randrange(2), "tensor", draw.randrange(1, 200)) for _ in range(8)]
    draw.shuffle(plants)
    for plant in plants:
        trial.kill(plant)
    for _ in range(6):
        trial.kill(meddle=after(draw.random() / 4, [draw.randrange(2)]))
        trial.kill(meddle=after(draw.random() / 4, [0, 1]))
    assert Lives(trial.killed).count() >= 30
    print(f"{Lives(trial.killed).count()} kills")
    trial.end()


@pytest.mark.slow
def test_a_rank_killed_under_the_launcher_ends_the_job_and_other_ranks_go_on(
    tmp_path: Path,
) -> None:
    """The command as a user types it; the second time with one rank under ZeRO-3."""
    words = ["pacos", "sft", "model=tiny", f"data.path={write_rows(tmp_path / 'rows.jsonl')}"]
    words += ["data.max_length=128", "batch.tokens=512", "epochs=6", "checkpoint.every_steps=2"]
    words += ["cluster.device=cpu", f"run.root={tmp_path}", "run.name=run"]
    words[0] = str(Path(sys.executable).with_name("pacos"))
    run = RunPaths(tmp_path / "run")
    front = subprocess.Popen(
        [*words, "cluster.ranks_per_node=2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while run.newest_checkpoint() is None and front.poll() is None:
        time.sleep(0.01)
    ranks = [
        process
        for process in psutil.Process(front.pid).children(recursive=True)
        if "sft.train" in process.cmdline() and "sft.engine.launcher" not in process.cmdline()
    ]
    assert len(ranks) == 2
    ranks[1].kill()
    said, _ = front.communicate()
    assert front.returncode == EXIT_CRASH
    assert b"run the same command again to continue from what is saved" in said
    assert not any(rank.is_running() for rank in ranks)
    before = run.newest_checkpoint()
    assert before is not None
    done = subprocess.run(
        [*words, "cluster.ranks_per_node=1", "deepspeed=zero3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_DONE, done.stderr
    assert f"{before}, saved by 2 ranks under ZeRO-2" in done.stdout + done.stderr
    assert Lives(run).state() is State.done
    assert steps(run)


@contextlib.contextmanager
def an_error_while_it_writes() -> Iterator[None]:
    """Writing takes a second, and the step after the first save fails on all ranks."""
    from sft import trainer as loop
    from sft.checkpoints import save

    plain_write, plain_step = save.write_shard, loop.Trainer.train_step

    def write(*arguments: Any) -> Any:
        time.sleep(1)
        return plain_write(*arguments)

    def step(trainer: Any, which: Any) -> Any:
        if which.number == EVERY + 1:
            raise UserError("no such step")
        return plain_step(trainer, which)

    save.write_shard, loop.Trainer.train_step = write, step
    try:
        yield
    finally:
        save.write_shard, loop.Trainer.train_step = plain_write, plain_step


def test_a_life_that_ends_by_an_error_ends_its_save(tmp_path: Path) -> None:
    config = run_config(tmp_path, "run", checkpoint=CheckpointConfig(every_steps=EVERY))
    assert mortal_life(config, an_error_while_it_writes) == [EXIT_USER_ERROR, EXIT_USER_ERROR]
    run = RunPaths(tmp_path / "runs" / "run")
    assert run.newest_checkpoint() == "step-000002"
    path = run.checkpoints / "step-000002"
    assert damage(path, CheckpointManifest.read(path).files) == []
