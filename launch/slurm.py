"""Runs as Slurm jobs, through the static scripts in slurm/."""

from __future__ import annotations

import shlex
import subprocess
from importlib.resources import files

from pacos.errors import EXIT_DONE, UserError
from pacos.run_dir import RunDir
from sft.config import SFTConfig

SCRIPTS = files("slurm")
"""Where the static scripts are installed."""


def sbatch_command(config: SFTConfig, run: RunDir) -> list[str]:
    """The submission of a training run; options on the command line win over #SBATCH lines."""
    cluster = config.cluster
    options = {
        "job-name": run.path.name,
        "nodes": cluster.nodes,
        "gpus-per-node": cluster.ranks_per_node,
        "cpus-per-task": cluster.ranks_per_node * cluster.threads_per_rank,
        "time": cluster.time_limit,
        "partition": cluster.partition,
        "account": cluster.account,
        "output": run.path / "slurm-%j.log",
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    script = str(SCRIPTS.joinpath("sft.sbatch"))
    return ["sbatch", "--parsable", *given, script, "--config", str(run.config_of_next_life())]


def submit(config: SFTConfig, run: RunDir) -> int:
    """Submit a run and return at once.

    Raises:
        UserError: there is no sbatch here, or Slurm refused the job; its words are given.
    """
    command = sbatch_command(config, run)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError(
            "cluster.launcher = slurm: no sbatch on this machine; type this on a login node, or "
            "use cluster=local"
        ) from error
    if done.returncode != 0:
        raise UserError(f"{shlex.join(command)}\nSlurm refused it: {done.stderr.strip()}")
    print(f"sft: {run.path}\n  job {done.stdout.strip()}")
    return EXIT_DONE
