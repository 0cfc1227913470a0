"""The points of a sweep as tasks of Slurm job arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from launch.config import JobConfig
from launch.jobs.queue import slurm_output
from launch.jobs.script import job_options, render
from launch.jobs.submit import exclude_option, sbatch
from launch.sweeps.folder import Sweep
from pacos.files import atomic_write
from pacos.run.open import config_path
from pacos.run_paths import RunPaths

NumberedConfigs = Mapping[int, JobConfig]
"""Configs of points by their number in the sweep."""


def array_scripts(
    sweep: Sweep, configs: NumberedConfigs
) -> list[tuple[Path, str, NumberedConfigs]]:
    """Return the job scripts for points: path, text, and the points that it covers.

    All tasks of an array have the same options, so points with other options, such as another
    number of nodes, get an array of their own.
    """
    groups: dict[tuple[str, ...], dict[int, JobConfig]] = {}
    for number, config in configs.items():
        groups.setdefault(tuple(job_options(config)), {})[number] = config
    return [
        (sweep.path / f"job{f'-{number}' if number > 1 else ''}.sbatch", _script(sweep, of), of)
        for number, of in enumerate(groups.values(), start=1)
    ]


def _script(sweep: Sweep, configs: NumberedConfigs) -> str:
    first = next(iter(configs.values()))
    runs = {number: sweep.run(number) for number in configs}
    cap = "" if first.cluster.at_once is None else f"%{first.cluster.at_once}"
    options = [
        f"--job-name={sweep.path.name}",
        f"--array={','.join(map(str, configs))}{cap}",
        f"--output={RunPaths(sweep.path / '%a').slurm_log('%A_%a')}",
        f"--chdir={Path.cwd()}",
        *job_options(first),
        *exclude_option([*runs.values()], first),
    ]
    paths = {number: config_path(run, configs[number]) for number, run in runs.items()}
    return render(first.STAGE, options, paths)


def submit_array(sweep: Sweep, configs: NumberedConfigs) -> list[str]:
    """Submit points whose runs are frozen, and return the ids of the arrays.

    Raises:
        UserError: Slurm refused an array; the others are cancelled.
    """
    arrays: dict[str, NumberedConfigs] = {}
    try:
        for path, text, group in array_scripts(sweep, configs):
            atomic_write(path, text)
            arrays[sbatch(path, next(iter(group.values())))] = group
    except BaseException:
        if arrays:
            slurm_output("scancel", *arrays)
        raise
    # Only now, because a refusal of a later array cancels the earlier ones.
    for job_id, group in arrays.items():
        for number in group:
            atomic_write(sweep.run(number).job_id, f"{job_id}_{number}\n")
    return list(arrays)
