"""The ranks of `tests.slurm.stand_in`.

Every step writes a checkpoint and takes 0.05 s. Files in the submission folder change that: with
`slow` a step takes a second; with `kill-NODE` that node fails like a broken one; a learning rate of
1 diverges until there is a file `mended`.
"""

from __future__ import annotations

import os
import platform
import signal
import time
from itertools import pairwise
from pathlib import Path

from pacos.configs.frozen import load_frozen
from pacos.distributed import World
from pacos.errors import UserError
from pacos.files import append_jsonl, atomic_write, write_json
from pacos.run.lives import Lives
from pacos.run.program import live
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.config import SFTConfig


def run(words: list[str]) -> int:
    said = dict(pairwise(words))
    rank, size = said.get("--machine_rank", "0"), said.get("--num_machines", "1")
    os.environ.update(RANK=rank, LOCAL_RANK="0", WORLD_SIZE=size)
    path, world = Path(said["--config"]), World.from_env()
    run = RunPaths(path.parent)
    if "sft.train" not in words:
        return live(run, world, lambda: None)
    config = load_frozen(path, SFTConfig)
    return live(run, world, lambda: work(config, run, world, said))


def work(config: SFTConfig, run: RunPaths, world: World, said: dict[str, str]) -> str | None:
    stop, here = StopRequest(run.stop), Path.cwd()
    done = int((run.newest_checkpoint() or "step-0").removeprefix("step-"))
    last = config.max_steps or 20
    if world.is_main:
        seen = {name: os.environ[name] for name in os.environ if name.startswith("PET_")}
        seen |= {key: said[key] for key in ("--main_process_ip", "--main_process_port")}
        write_json(run.path / "seen.json", {**seen, "cpus": os.environ["SLURM_CPUS_PER_TASK"]})
    for step in range(done + 1, last + 1):
        if config.optimizer.lr >= 1 and not (here / "mended").exists():
            if not world.is_main:
                time.sleep(
                    600
                )  # Blocks as in a collective, until the launcher ends the other ranks.
            raise UserError("the loss is not finite")
        if (here / f"kill-{platform.node()}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1 if (here / "slow").exists() else 0.05)
        if world.is_main:
            line = {metrics.STEP: step, metrics.EPOCH: step / 10, metrics.LOSS: 2 / step}
            counts = {metrics.ROWS: 8, metrics.TOKENS: 99, metrics.SUPERVISED_TOKENS: 50}
            speed = {metrics.STEP_SECONDS: 0.05, metrics.TOKENS_PER_SECOND: 1980.0}
            append_jsonl(run.metrics, [{**line, **counts, **speed}])
            atomic_write(run.checkpoints / "latest", f"step-{step}\n")
        if step < last and (reason := stop.reason()):
            return reason
    if world.is_main:
        Lives(run).note(last_step=last)
        objective = {"name": "loss", "value": config.optimizer.lr, "higher_is_better": False}
        write_json(run.result, {"objective": objective, "steps": last})
    return None
