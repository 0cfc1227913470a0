"""Cost of checkpoints, pacos's beside DeepSpeed's own, and of kills.

python -m benchmarks.checkpoint ROWS [--rounds N] [--minutes N] [--out FILE]

The setting is SmolLM2-135M on two ranks with ZeRO-2 and bf16. First, each rank saves and loads N
times both ways, and the medians are compared. pacos pauses training for a copy to memory, then
writes, hashes and fsyncs in the background. DeepSpeed pauses training until the files are written,
and neither hashes nor fsyncs them, unless the row says so. Then `pacos sft` trains on ROWS for some
minutes while all its processes are killed every 60 s and restarted. Goodput is the time of the
steps, each counted once, over the total time. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.provenance import provenance
from pacos.errors import UserError, exit_with
from pacos.files import read_jsonl, write_json, write_jsonl
from pacos.run.lives import Lives
from pacos.run_paths import RunPaths
from pacos.tracking import metrics

RANKS = 2
KILL_EVERY_SECONDS = 60
SAVE_EVERY_STEPS = 2
MAX_LENGTH = 512
STEP_TOKENS = 1024
SCRIPTS = Path(sys.executable).parent


def environment() -> dict[str, str]:
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    # One thread per rank: two ranks share the cores of a small machine.
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "true"}


def compared(folder: Path, rounds: int) -> dict[str, Any]:
    """Compare saving and loading by pacos and by DeepSpeed, in the same ranks."""
    write_jsonl(folder / "rows.jsonl", [{"instruction": "Count.", "output": "One."}])
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={RANKS}"]
    arguments = [*launch, "-m", "benchmarks.checkpoint_ranks", str(folder), str(rounds)]
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UserError(f"the ranks failed:\n{done.stderr[-3000:]}")
    report = dict(json.loads(done.stdout.strip().splitlines()[-1]))
    seconds = report["seconds"]
    report["deepspeed_save_over_pacos_stall"] = round(
        seconds["deepspeed_save"] / seconds["pacos_stall"], 1
    )
    return report


def killed_run(rows: Path, folder: Path, minutes: float) -> dict[str, Any]:
    """Train a run that is killed every minute, and return how much of the time was useful."""
    overrides = [
        *("model=smollm2_135m", f"data.path={rows.absolute()}", f"data.max_length={MAX_LENGTH}"),
        *(f"batch.tokens={STEP_TOKENS}", "deepspeed=zero2", "epochs=100", "cluster.device=cpu"),
        *(f"checkpoint.every_steps={SAVE_EVERY_STEPS}", f"cluster.ranks_per_node={RANKS}"),
        *("data.on_error=quarantine", f"run.root={folder}", "run.name=killed"),
    ]
    run, began = RunPaths(folder / "killed"), time.monotonic()
    while time.monotonic() - began < 60 * minutes:
        log = folder / "stderr.log"
        with log.open("w") as stderr:
            front = subprocess.Popen(
                [SCRIPTS / "pacos", "sft", *overrides],
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        # Reaching the timeout is the normal case: the run is made to outlast the measurement.
        try:
            front.wait(KILL_EVERY_SECONDS)
            raise UserError(f"the run ended by itself:\n{log.read_text()[-2000:]}")
        except subprocess.TimeoutExpired:
            kill_all(front.pid)
            front.wait()
    seconds = time.monotonic() - began
    records = list(read_jsonl(run.metrics))
    if not records:
        raise UserError(
            f"no life made a step within {KILL_EVERY_SECONDS} s; run it on an idle machine"
        )
    # Steps after the newest checkpoint do not count: the next life would repeat them.
    kept = int((run.newest_checkpoint() or "step-0").removeprefix("step-"))
    step_seconds = statistics.median(record[metrics.STEP_SECONDS] for record in records)
    return {
        "seconds": round(seconds, 1),
        "kills": Lives(run).count(),
        "steps_kept": kept,
        "steps_lost_to_the_last_kill": records[-1][metrics.STEP] - kept,
        "steps_a_checkpoint": SAVE_EVERY_STEPS,
        "step_seconds": round(step_seconds, 2),
        "goodput": round(kept * step_seconds / seconds, 3),
    }


def kill_all(pid: int) -> None:
    """Kill a process and all its descendants with SIGKILL, in whatever session they are."""
    front = psutil.Process(pid)
    for process in [front, *front.children(recursive=True)]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path, metavar="ROWS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    report = provenance()
    try:
        with tempfile.TemporaryDirectory() as name:
            report["saves"] = compared(Path(name), options.rounds)
        with tempfile.TemporaryDirectory() as name:
            if options.minutes:
                report["killed"] = killed_run(options.rows, Path(name), options.minutes)
    except UserError as error:
        return exit_with(error)
    print(json.dumps(report))
    if options.out:
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
