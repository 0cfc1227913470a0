"""The ranks of `tests.slurm.stand_in`.

Every step is a checkpoint and takes a twentieth of a second; a second where a file `slow` lies
beside the run. Where a file `kill-NODE` does, that node fails as a broken one would.
"""

from __future__ import annotations

import os
import platform
import signal
import time
from itertools import pairwise
from pathlib import Path

from pacos import metrics
from pacos.distributed import World
from pacos.files import append_jsonl, atomic_write, write_json
from pacos.frozen import load_frozen
from pacos.program import live
from pacos.run_dir import RunDir
from pacos.stop import StopRequest
from sft.config import SFTConfig


def run(words: list[str]) -> int:
    said = dict(pairwise(words))
    config = load_frozen(Path(said["--config"]), SFTConfig)
    run = RunDir(Path(said["--config"]).parent)
    world = World(int(said["--machine_rank"]), int(said["--num_machines"]), 0)
    return live(run, world, lambda: work(config, run, world, said))


def work(config: SFTConfig, run: RunDir, world: World, said: dict[str, str]) -> str | None:
    stop, beside = StopRequest(run.stop), run.path.parent
    done = int((run.newest_checkpoint() or "step-0").removeprefix("step-"))
    last = config.max_steps or 20
    if world.is_main:
        seen = {name: os.environ[name] for name in os.environ if name.startswith("PET_")}
        seen |= {key: said[key] for key in ("--main_process_ip", "--main_process_port")}
        write_json(run.path / "seen.json", {**seen, "cpus": os.environ["SLURM_CPUS_PER_TASK"]})
    for step in range(done + 1, last + 1):
        if config.optimizer.lr >= 1:
            raise RuntimeError("the loss is not finite")
        if (beside / f"kill-{platform.node()}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1 if (beside / "slow").exists() else 0.05)
        if world.is_main:
            line = {metrics.STEP: step, metrics.EPOCH: step / 10, metrics.LOSS: 2 / step}
            append_jsonl(run.metrics, [{**line, metrics.STEP_SECONDS: 0.05}])
            atomic_write(run.checkpoints / "latest", f"step-{step}\n")
        if step < last and (reason := stop.reason()):
            return reason
    if world.is_main:
        run.note(last_step=last)
        write_json(run.result, {"loss": 2 / last * config.optimizer.lr, "steps": last})
    return None
