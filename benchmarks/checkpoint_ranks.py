"""One rank of `benchmarks.checkpoint`: saves and loads by pacos and by DeepSpeed in turn.

torchrun --nproc_per_node 2 -m benchmarks.checkpoint_ranks FOLDER ROUNDS
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pacos.configs.compose import compose_checked
from pacos.distributed import World
from pacos.model.loading import load_tokenizer
from pacos.run_paths import RunPaths
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.protocol import Checkpoints
from sft.checkpoints.store import damage
from sft.config import SCHEMAS, SFTConfig
from sft.doctor.gradients import synthetic_rows
from sft.engine.deepspeed import backward, build_engine, start_ranks
from sft.engine.device import choose_device
from sft.model.build import build_model
from sft.model.loss import nll_sum
from sft.steps.batch import Batch

TAG = "engine"
"""DeepSpeed's name for a checkpoint."""


class Clock:
    """Seconds of actions that all ranks take together, by name."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    def time(self, name: str, act: Callable[..., Any], *arguments: Any) -> None:
        # The barriers make the time that of the slowest rank.
        self._world.barrier()
        began = time.monotonic()
        act(*arguments)
        self._world.barrier()
        self._seconds[name].append(time.monotonic() - began)

    def medians(self) -> dict[str, float]:
        return {name: round(statistics.median(all_), 3) for name, all_ in self._seconds.items()}


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def fsync_own(folder: Path, world: World) -> None:
    """Fsync this rank's share of DeepSpeed's files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files[world.rank :: world.size]:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def main(folder: Path, rounds: int) -> None:
    """Measure, and print on rank 0."""
    world = World.from_env()
    overrides = [f"data.path={folder}/rows.jsonl", "deepspeed=zero2", "cluster.device=cpu"]
    overrides += [f"cluster.ranks_per_node={world.size}", "checkpoint.keep=1"]
    config = compose_checked(SFTConfig, SCHEMAS, overrides)
    choose_device(config.cluster)
    device = start_ranks(world)
    tokenizer = load_tokenizer(config.model.path, pad_token=config.model.pad_token)
    engine = build_engine(build_model(config, tokenizer, device), config, 1)
    batch = Batch.of(synthetic_rows(), device)
    run, clock, sizes = RunPaths(folder / "pacos"), Clock(world), {}
    checkpoints = Checkpoints(run, config, engine, "rows", world)

    def step() -> None:
        backward(engine, nll_sum(engine, batch), len(batch.targets), world)
        engine.step()

    def verify(path: Path) -> None:
        files = CheckpointManifest.read(path).files
        names = sorted(files)[world.rank :: world.size]
        assert not damage(path, {name: files[name] for name in names})

    def save_as_deepspeed(to: Path) -> None:
        engine.save_checkpoint(str(to), tag=TAG, save_latest=False)

    step()
    # The first save of a life allocates the memory of the copies; it is not measured.
    checkpoints.save(0)
    checkpoints.finish()
    for number in range(1, rounds + 1):
        theirs = folder / f"deepspeed-{number}"
        clock.time("step_alone", step)
        clock.time("pacos_stall", checkpoints.save, number)
        clock.time("step_beside_the_writing", step)
        clock.time("pacos_rest", checkpoints.finish)
        clock.time("deepspeed_save", save_as_deepspeed, theirs)
        clock.time("deepspeed_fsync", fsync_own, theirs, world)
        sizes = {"pacos": folder_bytes(run.checkpoints), "deepspeed": folder_bytes(theirs)}
        clock.time("pacos_verify", verify, run.checkpoints / f"step-{number:06d}")
        clock.time("pacos_verify_and_load", checkpoints.load_newest, number)
        clock.time("deepspeed_load", engine.load_checkpoint, str(theirs), TAG)
        world.barrier()
        if world.is_main:
            shutil.rmtree(theirs)
    if world.is_main:
        parameters = sum(each.numel() for each in engine.module.parameters())
        print(json.dumps({"parameters": parameters, "bytes": sizes, "seconds": clock.medians()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
