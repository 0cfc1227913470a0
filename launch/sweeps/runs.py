"""Sweeps at work: their points one after another on this machine, or as an array of jobs."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from launch.config import AnyConfig, JobConfig, PipelineConfig
from launch.dispatch import dispatch, is_job
from launch.jobs.queue import jobs
from launch.jobs.submit import undone_if_refused
from launch.report.sweep import write_sweep_report
from launch.status.read import read_status
from launch.status.table import show_sweep
from launch.sweep import Point, Sweep, place, settle
from launch.sweeps.array import submit_array
from pacos.errors import EXIT_DONE, EXIT_SAVED, UserError, exit_with
from pacos.run.lives import Lives, State
from pacos.run.open import find_run, open_run
from pacos.run_paths import RunPaths

POLL_SECONDS = 5.0
"""Between looks at the jobs that a search waits for."""


def begin_sweep(points: Sequence[Point]) -> int:
    """Freeze the points of a sweep, and begin what of it is not done.

    Returns:
        0 where all are done or submitted; 85 where it was stopped; else the worst point's code.

    Raises:
        UserError: nothing was begun, and whatever was written for it is gone again.
    """
    sweep = place(points)
    for number, point in enumerate(points):
        settle(point.config, number, sweep)
        find_run(point.config)
    are_jobs = _are_jobs([point.config for point in points])
    runs = [RunPaths(sweep.path / str(number)) for number in range(len(points))]
    with undone_if_refused(sweep.path, [Lives(run).changed_config() for run in runs]):
        for point in points:
            open_run(point.config)
        sweep.write(points[0].config.STAGE, [point.varied for point in points])
        if are_jobs:
            return _submit(sweep)
    return _run_here(sweep)


def go_on(sweep: Sweep) -> int:
    """Do what of a sweep is neither done nor under way; returns as `begin_sweep` does.

    Raises:
        UserError: nothing was begun.
    """
    return _submit(sweep) if _are_jobs(sweep.configs()) else _run_here(sweep)


def do_points(sweep: Sweep, numbers: Collection[int]) -> int:
    """Do some points and wait for their end; returns 85 where one was stopped, else 0.

    Raises:
        UserError: Slurm refused them.
    """
    left = {number: config for number, config in _left(sweep).items() if number in numbers}
    if left and not _are_jobs(list(left.values())):
        return EXIT_SAVED if EXIT_SAVED in _codes(sweep, left) else EXIT_DONE
    if left:
        submit_array(sweep, _of_jobs(left))
    runs = [sweep.runs()[number] for number in sorted(numbers)]
    while _are_at_work(runs):
        time.sleep(POLL_SECONDS)
    return EXIT_SAVED if any(Lives(run).state() is State.saved for run in runs) else EXIT_DONE


def _are_at_work(runs: Sequence[RunPaths]) -> bool:
    """Whether some run may still come to an end; nothing is known while Slurm does not answer."""
    known = jobs()
    return known is None or any(read_status(run, known).is_at_work for run in runs)


def _are_jobs(configs: Sequence[AnyConfig]) -> bool:
    are = {is_job(config) for config in configs}
    if len(are) > 1:
        raise UserError(
            "cluster.launcher = local, slurm: all points of a sweep are jobs, or none; give two "
            "commands"
        )
    return are.pop()


def _left(sweep: Sweep) -> dict[int, AnyConfig]:
    """Points that are neither done nor under way."""
    known = jobs()
    return {
        number: config
        for number, (run, config) in enumerate(zip(sweep.runs(), sweep.configs(), strict=True))
        if read_status(run, known).needs_work
    }


def _of_jobs(configs: Mapping[int, AnyConfig]) -> dict[int, JobConfig]:
    return {
        number: config
        for number, config in configs.items()
        if not isinstance(config, PipelineConfig)
    }


def _submit(sweep: Sweep) -> int:
    left = _left(sweep)
    if not left:
        print(f"{sweep.path}: every point is done, or under way")
        return EXIT_DONE
    submitted = submit_array(sweep, _of_jobs(left))
    print(
        f"{sweep.stage()}: {sweep.path}\n  {len(left)} of {len(sweep.runs())} points, "
        f"job {', '.join(submitted)}; pacos status {sweep.path} shows them"
    )
    return EXIT_DONE


def _run_here(sweep: Sweep) -> int:
    codes = _codes(sweep, _left(sweep))
    show_sweep(sweep, jobs())
    print(write_sweep_report(sweep))
    return max(codes, default=EXIT_DONE)


def _codes(sweep: Sweep, configs: Mapping[int, AnyConfig]) -> list[int]:
    """Do points one after another; returns their exit codes, up to the first that was stopped."""
    codes: list[int] = []
    varied = sweep.varied()
    for number, config in configs.items():
        what = " ".join(f"{key}={value}" for key, value in varied[number].items())
        print(f"\npoint {number}: {what}", flush=True)
        try:
            codes.append(dispatch(config))
        except UserError as error:
            codes.append(exit_with(error))
        # Asked to stop in its last moments, a point is done and yet the next must not begin.
        if codes[-1] == EXIT_DONE and RunPaths(sweep.path / str(number)).stop.exists():
            codes[-1] = EXIT_SAVED
        if codes[-1] == EXIT_SAVED:
            break
    return codes
