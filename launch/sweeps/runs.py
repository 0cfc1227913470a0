"""Running the points of a sweep: in sequence on this machine, or as arrays of Slurm jobs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping, Sequence

from launch.config import AnyConfig, JobConfig, PipelineConfig
from launch.dispatch import dispatch, dry_run, is_job, show_config, show_file
from launch.jobs.queue import read_queue
from launch.jobs.submit import submit_command, undo_on_error
from launch.status.read import read_status
from launch.sweeps.array import array_scripts, submit_array
from launch.sweeps.folder import Sweep
from launch.sweeps.points import SweepPoint, assign_run, find_sweep
from launch.sweeps.report import write_sweep_report
from launch.sweeps.table import show_sweep
from pacos.errors import EXIT_DONE, EXIT_SAVED, UserError, exit_with
from pacos.run.lives import Lives, State
from pacos.run.open import find_run, open_run
from pacos.run_paths import RunPaths

POLL_SECONDS = 5.0
"""Interval at which a search asks Slurm about the jobs that it waits for."""


def begin_sweep(points: Sequence[SweepPoint]) -> int:
    """Freeze the points of a sweep and run or submit those that are not done.

    Returns:
        0 if all are done or submitted, 85 if one was stopped, else the highest exit code.

    Raises:
        UserError: nothing was started; the files written for it are removed again.
    """
    sweep = find_sweep(points)
    for number, point in enumerate(points):
        assign_run(point.config, number, sweep)
        # Refuses the folder of another run before anything is written.
        find_run(point.config)
    are_jobs = _are_jobs([point.config for point in points])
    runs = [sweep.run(number) for number in range(len(points))]
    with undo_on_error(sweep.path, [Lives(run).changed_config() for run in runs]):
        for point in points:
            open_run(point.config)
        sweep.write(points[0].config.STAGE, [point.varied for point in points])
        if are_jobs:
            return _submit(sweep)
    return _run_here(sweep)


def continue_sweep(sweep: Sweep) -> int:
    """Run or submit the points that are neither done nor active; return as `begin_sweep` does.

    Raises:
        UserError: nothing was started.
    """
    return _submit(sweep) if _are_jobs(sweep.configs()) else _run_here(sweep)


def dry_run_sweep(points: Sequence[SweepPoint]) -> int:
    """Print what `begin_sweep` would write and start: configs, job scripts and commands.

    Raises:
        UserError: the sweep's folder holds something else.
    """
    sweep = find_sweep(points)
    jobs = {}
    for number, point in enumerate(points):
        assign_run(point.config, number, sweep)
        print(f"# --- point {number}: {_assignments(point.varied)}")
        if isinstance(point.config, PipelineConfig) or not is_job(point.config):
            dry_run(point.config)
        else:
            show_config(point.config)
            jobs[number] = point.config
    for path, text, _ in array_scripts(sweep, jobs):
        show_file(str(path), text)
        show_file("command", shlex.join(submit_command(path)))
    return EXIT_DONE


def complete_points(sweep: Sweep, numbers: Collection[int]) -> int:
    """Run or submit some points and wait until they end; return 85 if one was stopped, else 0.

    Raises:
        UserError: Slurm refused them.
    """
    left = {number: config for number, config in _left(sweep).items() if number in numbers}
    if left and not _are_jobs(list(left.values())):
        return EXIT_SAVED if EXIT_SAVED in _run_in_sequence(sweep, left) else EXIT_DONE
    if left:
        submit_array(sweep, _job_configs(left))
    runs = [sweep.run(number) for number in sorted(numbers)]
    while _are_active(runs):
        time.sleep(POLL_SECONDS)
    return EXIT_SAVED if any(Lives(run).state() is State.saved for run in runs) else EXIT_DONE


def _are_active(runs: Sequence[RunPaths]) -> bool:
    """Return True if a run may still change state, which is assumed while Slurm does not answer."""
    queue = read_queue()
    return queue is None or any(read_status(run, queue).is_active for run in runs)


def _are_jobs(configs: Sequence[AnyConfig]) -> bool:
    kinds = {is_job(config) for config in configs}
    if len(kinds) > 1:
        raise UserError(
            "cluster.launcher = local, slurm: either all points of a sweep are jobs or none is; "
            "use two commands"
        )
    return kinds.pop()


def _left(sweep: Sweep) -> dict[int, AnyConfig]:
    """Return the configs of the points that are neither done nor active, by number."""
    queue = read_queue()
    return {
        number: config
        for number, (run, config) in enumerate(zip(sweep.runs(), sweep.configs(), strict=True))
        if read_status(run, queue).needs_work
    }


def _job_configs(configs: Mapping[int, AnyConfig]) -> dict[int, JobConfig]:
    return {
        number: config
        for number, config in configs.items()
        if not isinstance(config, PipelineConfig)
    }


def _submit(sweep: Sweep) -> int:
    left = _left(sweep)
    if not left:
        print(f"{sweep.path}: every point is done or active")
        return EXIT_DONE
    job_ids = submit_array(sweep, _job_configs(left))
    print(
        f"{sweep.stage()}: {sweep.path}\n  {len(left)} of {len(sweep.runs())} points, "
        f"job {', '.join(job_ids)}; check them with: pacos status {sweep.path}"
    )
    return EXIT_DONE


def _run_here(sweep: Sweep) -> int:
    codes = _run_in_sequence(sweep, _left(sweep))
    show_sweep(sweep, read_queue())
    print(write_sweep_report(sweep))
    return max(codes, default=EXIT_DONE)


def _run_in_sequence(sweep: Sweep, configs: Mapping[int, AnyConfig]) -> list[int]:
    """Run points one after another and return their exit codes, up to the first that is stopped.

    A point that fails does not keep the next ones from running.
    """
    codes: list[int] = []
    varied = sweep.varied()
    for number, config in configs.items():
        print(f"\npoint {number}: {_assignments(varied[number])}", flush=True)
        try:
            codes.append(dispatch(config))
        except UserError as error:
            codes.append(exit_with(error))
        # A stop request can come during a point's last step: that point is done, and yet the next
        # one must not start.
        if codes[-1] == EXIT_DONE and sweep.run(number).stop.exists():
            codes[-1] = EXIT_SAVED
        if codes[-1] == EXIT_SAVED:
            break
    return codes


def _assignments(varied: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in varied.items())
