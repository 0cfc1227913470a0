"""What a command would write and start, shown and left undone."""

from __future__ import annotations

import shlex

from omegaconf import OmegaConf

from launch.config import PipelineConfig
from launch.job_config import JobConfig
from launch.local import stage_command
from launch.slurm import run_script, submit_command
from pacos.config import Launcher
from pacos.run_dir import find_run


def show(config: JobConfig | PipelineConfig) -> None:
    """Print the command of a checked config, its job script if it is to be a job, and itself.

    Raises:
        UserError: its directory belongs to another run.
    """
    run = find_run(config)
    _print(str(run.config), OmegaConf.to_yaml(OmegaConf.structured(config)))
    if isinstance(config, PipelineConfig):
        for stage in config.stages(run.path):
            show(stage)
    elif config.cluster.launcher is Launcher.slurm:
        _print(str(run.job_script), run_script(config, run))
        _print("command", shlex.join(submit_command(run.job_script)))
    else:
        _print("command", shlex.join(stage_command(config, run)))


def _print(heading: str, text: str) -> None:
    print(f"# --- {heading}\n{text.rstrip()}\n")
