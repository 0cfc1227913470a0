"""The job script of a run: one of slurm/, with its options, its config and the text of job.sh."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from launch.config import JobConfig
from pacos.configs.shared import Device

SCRIPTS = Path(str(files("slurm")))
"""Where the static scripts are installed."""


def job_options(config: JobConfig) -> list[str]:
    """The options of sbatch that a config sets, without those that are about its files."""
    cluster = config.cluster
    values: dict[str, object] = {
        "nodes": cluster.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": None if cluster.device is Device.cpu else cluster.ranks_per_node,
        # Of this machine's cores, which null means, the nodes know nothing.
        "cpus-per-task": cluster.threads_per_rank
        and cluster.ranks_per_node * cluster.threads_per_rank,
        "mem": cluster.memory,
        "time": cluster.time_limit,
        "signal": f"B:USR1@{cluster.grace_seconds}",
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "exclude": ",".join(cluster.exclude) or None,
        "open-mode": "append",
    }
    given = [f"--{name}={value}" for name, value in values.items() if value is not None]
    return [*given, "--requeue", *cluster.options]


def render(stage: str, options: Sequence[str], configs: Path | Mapping[int, Path]) -> str:
    """A whole job script, that a person can read and submit.

    Args:
        stage: whose script it is made from.
        options: of sbatch; later ones win.
        configs: the frozen config, or that of each task of an array.
    """
    text = (SCRIPTS / f"{stage}.sbatch").read_text(encoding="utf-8")
    _, _, program = text.partition("\nbegin ")
    lines = ["#!/usr/bin/env bash"]
    lines += [f'#SBATCH "{option}"' if " " in option else f"#SBATCH {option}" for option in options]
    lines += ["", f"here={shlex.quote(str(SCRIPTS))}"]
    lines += [f"PACOS_VENV=${{PACOS_VENV:-{shlex.quote(sys.prefix)}}}", ""]
    lines += [*_config_words(configs), ""]
    lines += (SCRIPTS / "job.sh").read_text(encoding="utf-8").splitlines()[1:]
    return "\n".join([*lines, "", f"begin {program}"])


def _config_words(configs: Path | Mapping[int, Path]) -> Sequence[str]:
    if isinstance(configs, Path):
        return [f"set -- --config {shlex.quote(str(configs))}"]
    return [
        "configs=(",
        *(f"    [{task}]={shlex.quote(str(path))}" for task, path in configs.items()),
        ")",
        'set -- --config "${configs[$SLURM_ARRAY_TASK_ID]}"',
    ]
