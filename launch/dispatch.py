"""Who does the work of a config: this machine, or Slurm."""

from __future__ import annotations

from launch.config import AnyConfig, PipelineConfig
from launch.jobs.submit import submit_run
from launch.local import run_here
from launch.pipeline.run import run_pipeline
from pacos.configs.shared import Launcher
from pacos.run.open import open_run


def is_job(config: AnyConfig) -> bool:
    """Whether the work of a config is a job of its own."""
    return not isinstance(config, PipelineConfig) and config.cluster.launcher is Launcher.slurm


def dispatch(config: AnyConfig) -> int:
    """Have the work of a checked config done; returns the exit code.

    Raises:
        UserError: its directory belongs to another run, or Slurm refused it.
    """
    if isinstance(config, PipelineConfig):
        return run_pipeline(config)
    if config.cluster.launcher is Launcher.slurm:
        return submit_run(config)
    return run_here(config, open_run(config))
