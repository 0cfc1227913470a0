"""Job scripts of runs: the stage's script in slurm/ with options, config and job.sh filled in."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from launch.config import JobConfig
from pacos.configs.cluster import Device

SCRIPTS = Path(str(files("slurm")))
"""Folder of the installed slurm/ scripts."""


def job_options(config: JobConfig) -> list[str]:
    """Return the sbatch options that a config sets, apart from job name and file paths."""
    cluster = config.cluster
    values: dict[str, object] = {
        "nodes": cluster.nodes,
        # One task a node: it launches that node's ranks.
        "ntasks-per-node": 1,
        "gpus-per-node": None if cluster.device is Device.cpu else cluster.ranks_per_node,
        # Null means this machine's core count, which says nothing about the compute nodes.
        "cpus-per-task": cluster.threads_per_rank
        and cluster.ranks_per_node * cluster.threads_per_rank,
        "mem": cluster.memory,
        "time": cluster.time_limit,
        # B: signal only the batch shell; job.sh turns USR1 into the STOP file.
        "signal": f"B:USR1@{cluster.grace_seconds}",
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "exclude": ",".join(cluster.exclude) or None,
        "open-mode": "append",
    }
    options = [f"--{name}={value}" for name, value in values.items() if value is not None]
    # --requeue lets Slurm restart the job by itself when a node fails. The user's own options come
    # last, and win.
    return [*options, "--requeue", *cluster.options]


def render(stage: str, options: Sequence[str], configs: Path | Mapping[int, Path]) -> str:
    """Return a complete job script that a person can read and submit by hand.

    Args:
        stage: the stage whose slurm/STAGE.sbatch the script is made from.
        options: options of sbatch; of repeated ones the last wins.
        configs: the frozen config, or one config for each task of a job array.
    """
    text = (SCRIPTS / f"{stage}.sbatch").read_text(encoding="utf-8")
    # The lines before `begin` are options and a search for this folder; both are known here.
    _, _, program = text.partition("\nbegin ")
    lines = ["#!/usr/bin/env bash"]
    lines += [f'#SBATCH "{option}"' if " " in option else f"#SBATCH {option}" for option in options]
    lines += ["", f"here={shlex.quote(str(SCRIPTS))}"]
    lines += [f"PACOS_VENV=${{PACOS_VENV:-{shlex.quote(sys.prefix)}}}", ""]
    lines += [*_set_arguments(configs), ""]
    # Included and not sourced, so that an update of pacos does not change a job in the queue. The
    # first line names the shell for shellcheck.
    lines += (SCRIPTS / "job.sh").read_text(encoding="utf-8").splitlines()[1:]
    return "\n".join([*lines, "", f"begin {program}"])


def _set_arguments(configs: Path | Mapping[int, Path]) -> Sequence[str]:
    if isinstance(configs, Path):
        return [f"set -- --config {shlex.quote(str(configs))}"]
    return [
        "configs=(",
        *(f"    [{task}]={shlex.quote(str(path))}" for task, path in configs.items()),
        ")",
        'set -- --config "${configs[$SLURM_ARRAY_TASK_ID]}"',
    ]
