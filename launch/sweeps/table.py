"""The points of a sweep as a table for the terminal."""

from __future__ import annotations

from launch.jobs.queue import Jobs
from launch.status.read import read_status
from launch.status.table import StatusTable, count_states
from launch.sweeps.folder import Sweep


def show_sweep(sweep: Sweep, jobs: Jobs | None) -> None:
    """Print the state of every point of a sweep, and the command that continues it."""
    varied, statuses = sweep.varied(), [read_status(run, jobs) for run in sweep.runs()]
    keys = list(dict.fromkeys(key for point in varied for key in point))
    table = StatusTable("point", *keys)
    for status, point in zip(statuses, varied, strict=True):
        names = [status.run.path.name, *(shorten_number(point.get(key, "")) for key in keys)]
        table.add_run(names, status)
    table.print()
    print(f"{sweep.path}: {count_states(statuses)}")
    if sweep.search() is not None:
        print("run the same command again to continue the search, unless it has finished")
    elif any(status.needs_work for status in statuses):
        print(f"continue what is neither done nor active with: pacos resubmit {sweep.path}")


def shorten_number(value: str) -> str:
    """Round a number of more than eight characters to five digits; return other values as is."""
    try:
        return f"{float(value):.5g}" if len(value) > 8 else value
    except ValueError:
        return value
