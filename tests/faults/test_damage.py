"""Disks that damage checkpoints, are full, or fail: what is said, and how it goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from sft.checkpoints.manifest import MANIFEST
from sft.configs.checkpoint import CheckpointConfig
from tests.faults.kill_points import DieAt, mortal_life, run_config
from tests.faults.test_kills import steps
from tests.sft.checkpoints.test_protocol import assert_same_bits
from tests.sft.small_runs import train

EVERY_STEP = CheckpointConfig(every_steps=1, keep=5)
MIB = 2**20


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    folder = tmp_path_factory.mktemp("straight")
    ((run, code),) = train(2, [run_config(folder, "straight", epochs=2, checkpoint=EVERY_STEP)])
    assert code == EXIT_DONE
    return run


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_damaged_checkpoints_are_set_aside_and_the_one_before_them_is_used(
    straight: RunPaths, tmp_path: Path
) -> None:
    config = run_config(tmp_path, "run", epochs=2, checkpoint=EVERY_STEP)
    mortal_life(config, DieAt(0, "os.rename .tmp", nth=7))
    run = RunPaths(tmp_path / "runs" / "run")
    shards = {path.name: path / "rank-00001.safetensors" for path in whole(run)}
    assert list(shards) == [f"step-{step:06d}" for step in range(2, 7)]
    flip_a_bit(shards["step-000006"])
    os.truncate(shards["step-000005"], shards["step-000005"].stat().st_size - 8)
    shards["step-000004"].unlink()
    flip_a_bit(shards["step-000003"].with_name(MANIFEST))
    assert mortal_life(config, contextlib.nullcontext) == [EXIT_DONE, EXIT_DONE]
    aside = sorted(path.name for path in run.checkpoints.glob("*.broken"))
    assert aside == [f"step-{step:06d}.broken" for step in range(3, 7)]
    assert_same_bits(run.path, straight.path)
    assert steps(run) == steps(straight)


def whole(run: RunPaths) -> list[Path]:
    return sorted(run.checkpoints.glob("step-??????"))


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True)
class FullAt:
    """A plant: rank 0 fills the disk up when the save after a step has begun."""

    step: int
    filling: Path

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        from sft.checkpoints.store import Store

        plain = Store.begin

        def begin(store: Store, step: int) -> Path:
            partial = plain(store, step)
            if step == self.step:
                with contextlib.suppress(OSError), self.filling.open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
            return partial

        Store.begin = begin  # type: ignore[method-assign]
        try:
            yield
        finally:
            Store.begin = plain  # type: ignore[method-assign]


@contextlib.contextmanager
def second_rank_cannot_write() -> Iterator[None]:
    """The second machine has lost the folder that both share."""
    from sft.checkpoints import save

    plain = save.write_shard

    def planted(path: Path, *arguments: Any) -> Any:
        if path.name == "rank-00001.safetensors" and "000002" in str(path):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return plain(path, *arguments)

    save.write_shard = planted
    try:
        yield
    finally:
        save.write_shard = plain


def on_disk(config: Any, disk: Path) -> None:
    """Let the checkpoints of a run that is to be lie on another disk."""
    open_run(config).checkpoints.symlink_to(disk)


def reason(run: RunPaths) -> str:
    ended = Lives(run).end_of(Lives(run).count())
    assert ended is not None
    return ended[1]


def test_disks_that_are_full_or_fail_cost_nothing_that_was_saved(
    straight: RunPaths, tmp_path: Path
) -> None:
    names = ("full", "small", "failing")
    configs = [run_config(tmp_path, name, epochs=2, checkpoint=EVERY_STEP) for name in names]
    disks = [tmp_path / "16M", tmp_path / "1M"]
    with small_disk(disks[0], 16 * MIB), small_disk(disks[1], MIB):
        filling = disks[0] / "filling"
        plants = [FullAt(3, filling), contextlib.nullcontext, second_rank_cannot_write]
        for config, disk in zip(configs, disks, strict=False):
            on_disk(config, disk)
        ended = train(2, configs, plants)
        full, small, failing = (run for run, _ in ended)
        assert [code for _, code in ended] == [EXIT_USER_ERROR] * 3
        assert "No space left on device" in reason(full)
        assert "the checkpoint of step 3 could not be written: rank" in reason(full)
        assert "older checkpoints are complete" in reason(full)
        assert "must hold 6 checkpoints of 0.00 GiB at a time" in reason(small)
        assert "step 2 could not be written: rank 1 on " in reason(failing)
        assert "Stale file handle" in reason(failing)
        assert [path.name for path in whole(full)] == ["step-000001", "step-000002"]
        assert [path.name for path in whole(failing)] == ["step-000001"]
        for run in (full, small, failing):
            assert Lives(run).state() is State.failed
            assert not list(run.checkpoints.glob("*.tmp"))
        assert not steps(small)
        filling.unlink()
        configs[1].checkpoint.keep = 1
        for run, code in train(2, configs):
            assert code == EXIT_DONE
            assert_same_bits(run.path, straight.path)
            assert steps(run) == steps(straight)
