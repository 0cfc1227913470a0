"""A life of a run that only tracks.

python -m tests.faults.tracked_life RUN MODE FIRST LAST END INIT_SECONDS FINISH_SECONDS
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from pacos.configs.tracking import TrackingConfig, TrackingMode, TrackingService
from pacos.run_paths import RunPaths
from pacos.tracking.history import cut_after
from pacos.tracking.open import open_tracker


def main(
    folder: str, mode: str, first: str, last: str, end: str, init_seconds: str, finish_seconds: str
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    import pacos.tracking.wandb

    pacos.tracking.wandb.INIT_TIMEOUT_SECONDS = int(init_seconds)
    pacos.tracking.wandb.FINISH_TIMEOUT_SECONDS = int(finish_seconds)
    run = RunPaths(Path(folder))
    config = TrackingConfig(service=TrackingService.wandb, mode=TrackingMode[mode])
    cut_after(run.metrics, int(first) - 1)
    tracker = open_tracker(config, run, {"seed": 1}, is_main=True)
    for step in range(int(first), int(last) + 1):
        tracker.log({"step": step, "train/loss": 1 / step})
    print("logged", flush=True)
    sys.stdin.readline()
    if end == "kill":
        time.sleep(2 * pacos.tracking.wandb.FLUSH_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "kill client":
        for child in psutil.Process().children():
            child.kill()
            child.wait()
        tracker.log({"step": int(last) + 1})
    tracker.close(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
