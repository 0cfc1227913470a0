"""Sweeps at work: their points one after another on this machine, or as an array of jobs."""

from __future__ import annotations

import os
from collections.abc import Sequence

from launch.array import submit_array
from launch.config import AnyConfig, PipelineConfig
from launch.dispatch import dispatch, is_job
from launch.queue import jobs
from launch.slurm import undone_if_refused
from launch.status import read_status
from launch.status_table import show_sweep
from launch.sweep import Point, Sweep, place, settle
from pacos.errors import EXIT_DONE, EXIT_SAVED, UserError, exit_with
from pacos.run_dir import RunDir, find_run, open_run


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
    runs = [RunDir(sweep.path / str(number)) for number in range(len(points))]
    with undone_if_refused(sweep.path, [run.changed_config() for run in runs]):
        for point in points:
            open_run(point.config)
        sweep.write(points[0].config.STAGE, [point.varied for point in points])
        if are_jobs:
            return _submit(sweep)
    return _run_here(sweep)


def resubmit(sweep: Sweep) -> int:
    """Do what of a sweep is neither done nor under way; returns as `begin_sweep` does.

    Raises:
        UserError: nothing was begun.
    """
    os.chdir(sweep.folder())
    return _submit(sweep) if _are_jobs(sweep.configs()) else _run_here(sweep)


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


def _submit(sweep: Sweep) -> int:
    left = _left(sweep)
    if not left:
        print(f"{sweep.path}: every point is done, or under way")
        return EXIT_DONE
    configs = {number: one for number, one in left.items() if not isinstance(one, PipelineConfig)}
    submitted = submit_array(sweep, configs)
    print(
        f"{sweep.stage()}: {sweep.path}\n  {len(left)} of {len(sweep.runs())} points, "
        f"job {', '.join(submitted)}; pacos status {sweep.path} shows them"
    )
    return EXIT_DONE


def _run_here(sweep: Sweep) -> int:
    codes, varied = [EXIT_DONE], sweep.varied()
    for number, config in _left(sweep).items():
        what = " ".join(f"{key}={value}" for key, value in varied[number].items())
        print(f"\npoint {number} of {len(varied)}: {what}", flush=True)
        try:
            codes.append(dispatch(config))
        except UserError as error:
            codes.append(exit_with(error))
        if codes[-1] == EXIT_SAVED:
            break
    show_sweep(sweep, jobs())
    return max(codes)
