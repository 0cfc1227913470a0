"""Starts a checked config: on this machine, as a Slurm job, or as a pipeline of both."""

from __future__ import annotations

import shlex

from omegaconf import OmegaConf

from launch.config import AnyConfig, PipelineConfig
from launch.jobs.submit import dependency_options, run_script, submit_command, submit_run
from launch.local import run_here, stage_command
from launch.pipeline.parts import read_parts
from launch.pipeline.run import run_pipeline
from pacos.configs.cluster import Launcher
from pacos.errors import EXIT_DONE
from pacos.run.open import find_run, open_run, with_run_path
from pacos.run_paths import RunPaths


def is_job(config: AnyConfig) -> bool:
    """Return True if the config runs as one Slurm job. A pipeline is never one: its parts are."""
    return not isinstance(config, PipelineConfig) and config.cluster.launcher is Launcher.slurm


def dispatch(config: AnyConfig) -> int:
    """Run a checked config, or submit its job, and return the exit code.

    Raises:
        UserError: the run directory belongs to another run, or Slurm refused the job.
    """
    if isinstance(config, PipelineConfig):
        return run_pipeline(config)
    if is_job(config):
        return submit_run(config)
    return run_here(config, open_run(config))


def dry_run(config: AnyConfig, after: str | None = None) -> int:
    """Print what `dispatch` would write and start: config, job script and command.

    Args:
        config: the checked config.
        after: id of the job whose success this one would wait for.

    Raises:
        UserError: the run directory belongs to another run.
    """
    run = show_config(config)
    if isinstance(config, PipelineConfig):
        previous = None
        for part in read_parts(config, run.path):
            dry_run(part.config, previous)
            # Slurm assigns the id only at submission, so a placeholder stands for it.
            previous = f"JOB_OF_{part.name.upper()}" if part.is_job else None
    elif is_job(config):
        show_file(str(run.job_script), run_script(config, run))
        show_file("command", shlex.join(submit_command(run.job_script, *dependency_options(after))))
    else:
        show_file("command", shlex.join(stage_command(config, run)))
    return EXIT_DONE


def show_config(config: AnyConfig) -> RunPaths:
    """Print a config as it would be frozen, and return its run.

    Raises:
        UserError: the run directory belongs to another run.
    """
    run = find_run(config)
    show_file(str(run.config), OmegaConf.to_yaml(OmegaConf.structured(with_run_path(config))))
    return run


def show_file(heading: str, text: str) -> None:
    """Print one item of a dry run under its heading."""
    print(f"# --- {heading}\n{text.rstrip()}\n")
