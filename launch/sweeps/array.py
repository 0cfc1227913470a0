"""The points of a sweep as tasks of a Slurm array."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from launch.config import JobConfig
from launch.jobs.queue import ask
from launch.jobs.script import job_options, render
from launch.jobs.submit import sbatch, without_blamed
from launch.sweep import Sweep
from pacos.files import atomic_write
from pacos.run.open import config_path
from pacos.run_paths import RunPaths

Points = Mapping[int, JobConfig]
"""Configs of points by their numbers in the sweep."""


def array_scripts(sweep: Sweep, points: Points) -> list[tuple[Path, str, Points]]:
    """The job scripts of points, each with its path and those that it is for.

    Tasks of an array have the same options, so points with others are another array.
    """
    groups: dict[tuple[str, ...], dict[int, JobConfig]] = {}
    for number, config in points.items():
        groups.setdefault(tuple(job_options(config)), {})[number] = config
    return [
        (sweep.path / f"job{f'-{number}' if number > 1 else ''}.sbatch", _script(sweep, of), of)
        for number, of in enumerate(groups.values(), start=1)
    ]


def _script(sweep: Sweep, points: Points) -> str:
    config = next(iter(points.values()))
    runs = {number: RunPaths(sweep.path / str(number)) for number in points}
    cap = "" if config.cluster.at_once is None else f"%{config.cluster.at_once}"
    options = [
        f"--job-name={sweep.path.name}",
        f"--array={','.join(map(str, points))}{cap}",
        f"--output={RunPaths(sweep.path / '%a').slurm_log('%A_%a')}",
        f"--chdir={Path.cwd()}",
        *job_options(config),
        *without_blamed([*runs.values()], config),
    ]
    paths = {number: config_path(run, points[number]) for number, run in runs.items()}
    return render(config.STAGE, options, paths)


def submit_array(sweep: Sweep, points: Points) -> list[str]:
    """Submit points whose runs are frozen; returns the ids of the arrays.

    Raises:
        UserError: one was refused; those that were not are cancelled.
    """
    jobs: dict[str, Points] = {}
    try:
        for path, text, group in array_scripts(sweep, points):
            atomic_write(path, text)
            jobs[sbatch(path, next(iter(group.values())))] = group
    except BaseException:
        if jobs:
            ask("scancel", *jobs)
        raise
    for job, group in jobs.items():
        for number in group:
            atomic_write(RunPaths(sweep.path / str(number)).job_id, f"{job}_{number}\n")
    return list(jobs)
