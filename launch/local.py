"""Stages on this machine: their commands, their environment, and a child that stops cleanly."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import FrameType

from eval.config import EvalConfig
from pacos.configs.cluster import ClusterConfig, Device
from pacos.configs.stage import StageConfig
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, EXIT_USER_ERROR, disk_problem
from pacos.rank import end_with_parent, free_port
from pacos.run.lives import Lives, State
from pacos.run.stop import SIGNALS
from pacos.run_paths import RunPaths
from sft.config import SFTConfig

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
"""glibc settings that keep freed tensors in the process. By default glibc returns every large block
to the kernel and faults it in again page by page, a sixth of a training step on CPUs. Blocks of
32 MB and more still go back: they are logits, whose size differs in each pass, and keeping them
fragmented the heap (SmolLM2: from 3 to 8 GB in 35 steps)."""

STOP_POLL_SECONDS = 1.0
"""Interval at which the front end looks for a pipeline's STOP file."""

RANK_EXIT_SECONDS = 5.0
"""Grace period for ranks whose launcher was killed: the kernel ends them a moment after it."""


def stage_command(config: StageConfig, run: RunPaths) -> list[str]:
    """Return the command that runs a stage on this machine."""
    if isinstance(config, SFTConfig):
        return rank_command(config.cluster, "sft.train", run)
    if isinstance(config, EvalConfig) and config.world_size() > 1:
        return rank_command(config.cluster, "eval.run", run)
    return [sys.executable, "-m", f"{config.STAGE}.run", "--config", str(Lives(run).next_config())]


def rank_command(cluster: ClusterConfig, program: str, run: RunPaths) -> list[str]:
    """Return an `accelerate launch` command for a program's ranks on this machine.

    Accelerate only starts the processes: DeepSpeed and the precision come from the run's config.
    """
    return [
        *(sys.executable, "-m", "sft.engine.launcher"),
        *("--use_deepspeed", "--num_machines", "1", "--machine_rank", "0"),
        *("--num_processes", str(cluster.ranks_per_node)),
        # Accelerate's fixed default, 29500, would make any two runs on a machine collide.
        *("--main_process_port", str(free_port())),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("-m", program, "--config", str(Lives(run).next_config())),
    ]


def stage_environment(config: StageConfig) -> dict[str, str]:
    """Return the variables that pacos sets for a stage's processes, here and in a job.

    Allocator settings and PYTHONWARNINGS are defaults: a value that is already set wins.
    """
    defaults = {
        **ALLOCATOR,
        # Deprecation warnings from torch and DeepSpeed are nothing a pacos user can act on.
        "PYTHONWARNINGS": "ignore::FutureWarning",
    }
    variables = {name: os.environ.get(name, value) for name, value in defaults.items()}
    # Otherwise `-m sft.train` would import a folder called sft from the working directory.
    variables["PYTHONSAFEPATH"] = "1"
    # Unset, tokenizers turns its threads off in forked processes, with a warning for each.
    variables["TOKENIZERS_PARALLELISM"] = "true"
    if isinstance(config, SFTConfig | EvalConfig):
        # If it is unset, torchrun sets 1 for every rank, which leaves most cores idle.
        variables["OMP_NUM_THREADS"] = str(config.cluster.threads())
        if config.cluster.device is Device.cpu:
            # DeepSpeed would choose CUDA on a machine with GPUs.
            variables["DS_ACCELERATOR"] = "cpu"
    return variables


def child_environment(config: StageConfig) -> dict[str, str]:
    """Return the full environment of a stage's processes on this machine."""
    # Children find ninja and others beside this Python even if the environment is not activated.
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **stage_environment(config), "PATH": path}


def is_done(config: StageConfig, run: RunPaths) -> bool:
    """Return True if the stage has nothing left to do.

    A finished evaluation has work again when a judge is added whose verdicts are missing.
    """
    if isinstance(config, EvalConfig) and config.lacks_verdicts(run.eval):
        return False
    return Lives(run).state() is State.done


def run_here(config: StageConfig, run: RunPaths, pipeline_stop: Path | None = None) -> int:
    """Run a stage in a child process, wait for it, and return the exit code of the front end.

    Args:
        config: the stage's config.
        run: the stage's run.
        pipeline_stop: STOP file of the pipeline that the stage belongs to.
    """
    if is_done(config, run):
        print(f"{config.STAGE}: already done in {run.path}")
        return EXIT_DONE
    lives = Lives(run)
    before = lives.count()
    command = stage_command(config, run)
    print(f"{config.STAGE}: {run.path}\n  $ {shlex.join(command)}", flush=True)
    returned = _wait(command, child_environment(config), run, pipeline_stop)
    # After a kill, ranks may hold the run's lock for a moment. A life that recorded its own end is
    # left as it is.
    patience = RANK_EXIT_SECONDS if returned < 0 else 0.0
    try:
        lives.end_killed(f"exited without recording a reason, exit code {returned}", patience)
    except OSError as error:
        # On a full disk the next life records the end of this one.
        raise disk_problem(error, run.path) or error from error
    if returned == EXIT_USER_ERROR:
        # The child has already explained the mistake.
        return EXIT_USER_ERROR
    # Not from the exit code: ranks return 0 both when they are done and when they saved.
    code, reason = lives.end_of(before + 1) or (EXIT_CRASH, f"exit code {returned}")
    messages = {
        EXIT_SAVED: f"{config.STAGE}: stopped and saved ({reason}); run the same command again to "
        "continue",
        EXIT_CRASH: f"{config.STAGE}: crashed ({reason}); run the same command again to continue "
        f"from what is saved in {run.path}",
    }
    if code in messages:
        print(messages[code], file=sys.stderr)
    return code


def _wait(
    command: list[str], environment: dict[str, str], run: RunPaths, pipeline_stop: Path | None
) -> int:
    """Run a child in its own session, so that Ctrl-C reaches only the front end.

    The first signal becomes the run's STOP file, which every rank sees at its next step. The third
    kills the launcher, and the ranks end with it. If the front end itself is killed, the kernel
    sends the child SIGTERM.
    """
    child = subprocess.Popen(
        command,
        env=environment,
        start_new_session=True,
        preexec_fn=partial(end_with_parent, signal.SIGTERM),
    )
    received = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received == 1:
            run.stop.touch()
            print(
                "\nstopping at the next safe point; press Ctrl-C twice more to kill it",
                file=sys.stderr,
            )
        elif received > 2:
            os.killpg(child.pid, signal.SIGKILL)

    handlers = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(STOP_POLL_SECONDS)
            # Repeated, because the child removes a stale STOP file when its life begins.
            if received or (pipeline_stop is not None and pipeline_stop.exists()):
                run.stop.touch()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
