"""What a command would write and start, shown and left undone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from omegaconf import OmegaConf

from launch.config import AnyConfig, PipelineConfig
from launch.dispatch import is_job
from launch.jobs.submit import run_script, submit_command, waiting_for
from launch.local import stage_command
from launch.pipeline.parts import read_links
from launch.sweep import Point, place, settle
from launch.sweeps.array import array_scripts
from pacos.errors import EXIT_DONE
from pacos.run.open import find_run, with_run_path


def show(config: AnyConfig, after: str | None = None) -> int:
    """Print a checked config, its job script if it is to be a job, and the command.

    Args:
        config: of a run.
        after: a job that it has to wait for.

    Raises:
        UserError: its directory belongs to another run.
    """
    run = find_run(config)
    _print(str(run.config), OmegaConf.to_yaml(OmegaConf.structured(with_run_path(config))))
    if isinstance(config, PipelineConfig):
        before = None
        for link in read_links(config, run.path):
            show(link.config, before)
            before = f"JOB_OF_{link.name.upper()}" if link.is_job else None
    elif is_job(config):
        _print(str(run.job_script), run_script(config, run))
        _print("command", shlex.join(submit_command(run.job_script, *waiting_for(after))))
    else:
        _print("command", shlex.join(stage_command(config, run)))
    return EXIT_DONE


def show_points(points: Sequence[Point]) -> int:
    """Print the configs of a sweep, with the job scripts or the commands of its points.

    Raises:
        UserError: its directory holds something else.
    """
    sweep = place(points)
    jobs = {}
    for number, point in enumerate(points):
        settle(point.config, number, sweep)
        varied = " ".join(f"{key}={value}" for key, value in point.varied.items())
        print(f"# --- point {number}: {varied}")
        if isinstance(point.config, PipelineConfig) or not is_job(point.config):
            show(point.config)
        else:
            run = find_run(point.config)
            _print(str(run.config), OmegaConf.to_yaml(OmegaConf.structured(point.config)))
            jobs[number] = point.config
    for path, text, _ in array_scripts(sweep, jobs):
        _print(str(path), text)
        _print("command", shlex.join(submit_command(path)))
    return EXIT_DONE


def _print(heading: str, text: str) -> None:
    print(f"# --- {heading}\n{text.rstrip()}\n")
