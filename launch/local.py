"""Runs on this machine: the commands of the stages, and children that are ended cleanly."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import FrameType

from eval.config import EvalConfig
from launch.environment import stage_environment
from pacos.configs.shared import ClusterConfig, StageConfig
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, EXIT_USER_ERROR
from pacos.rank import end_with_parent
from pacos.run.lives import Lives, State
from pacos.run.stop import SIGNALS
from pacos.run_paths import RunPaths
from sft.config import SFTConfig

STOP_POLL_SECONDS = 1.0
"""How often the front looks for the STOP file of a pipeline."""

ENDING_SECONDS = 5.0
"""For ranks whose launcher was killed: they end with it, but a moment later."""


def stage_command(config: StageConfig, run: RunPaths) -> list[str]:
    """The command that does the work of a stage on this machine."""
    if isinstance(config, SFTConfig):
        return rank_command(config.cluster, "sft.train", run)
    if isinstance(config, EvalConfig) and config.cluster.ranks_per_node > 1:
        return rank_command(config.cluster, "eval.run", run)
    return [sys.executable, "-m", f"{config.STAGE}.run", "--config", str(Lives(run).next_config())]


def rank_command(cluster: ClusterConfig, program: str, run: RunPaths) -> list[str]:
    """`accelerate launch` of a program's ranks on this machine; it only starts them."""
    return [
        *(sys.executable, "-m", "sft.engine.launcher"),
        *("--use_deepspeed", "--num_machines", "1", "--machine_rank", "0"),
        *("--num_processes", str(cluster.ranks_per_node)),
        *("--main_process_port", str(_free_port())),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("-m", program, "--config", str(Lives(run).next_config())),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def child_environment(config: StageConfig) -> dict[str, str]:
    """The environment of a stage's processes."""
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **stage_environment(config), "PATH": path}


def is_done(config: StageConfig, run: RunPaths) -> bool:
    """Whether nothing is left to do; a judge may be named when the answers are there."""
    if isinstance(config, EvalConfig) and config.lacks_verdicts(run.eval):
        return False
    return Lives(run).state() is State.done


def run_here(config: StageConfig, run: RunPaths, stop: Path | None = None) -> int:
    """Do a stage's work in a child and wait for it; returns the front's exit code.

    Args:
        config: of the stage.
        run: of the stage.
        stop: STOP file of the pipeline that the stage belongs to.
    """
    if is_done(config, run):
        print(f"{config.STAGE}: already done in {run.path}")
        return EXIT_DONE
    lives = Lives(run)
    before = lives.count()
    command = stage_command(config, run)
    print(f"{config.STAGE}: {run.path}\n  $ {shlex.join(command)}", flush=True)
    returned = _wait(command, child_environment(config), run, stop)
    patience = ENDING_SECONDS if returned < 0 else 0.0
    lives.end_killed(f"ended without a word, exit code {returned}", patience)
    if returned == EXIT_USER_ERROR:
        # Whoever refused has said why.
        return EXIT_USER_ERROR
    code, reason = lives.end_of(before + 1) or (EXIT_CRASH, f"exit code {returned}")
    words = {
        EXIT_SAVED: f"{config.STAGE}: stopped and saved ({reason}); the same command goes on",
        EXIT_CRASH: f"{config.STAGE}: crashed ({reason}); the same command goes on from what is "
        f"safe in {run.path}",
    }
    if code in words:
        print(words[code], file=sys.stderr)
    return code


def _wait(command: list[str], environment: dict[str, str], run: RunPaths, stop: Path | None) -> int:
    """Run a child in a session of its own, so that Ctrl-C reaches only the front.

    The front turns the first signal into the STOP file, which every rank sees at its next step, and
    the third into an end by force: ranks end with their launcher. If the front itself is killed,
    the child is asked to stop.
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
            print("\nstopping at the next safe point; twice more to end at once", file=sys.stderr)
        elif received > 2:
            os.killpg(child.pid, signal.SIGKILL)

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(STOP_POLL_SECONDS)
            # Again and again: the beginning of the child's life removes an old file.
            if received or (stop is not None and stop.exists()):
                run.stop.touch()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
