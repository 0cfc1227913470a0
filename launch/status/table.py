"""`pacos status`: tables of runs and sweeps for a terminal, and how to go on."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from launch.config import PipelineConfig
from launch.jobs.queue import jobs
from launch.status.facts import STAGES
from launch.status.read import Jobs, Status, find, named, read_status
from launch.sweep import Sweep, short
from pacos.run_paths import RunPaths
from pacos.text.duration import duration

WIDE = 240
"""Columns of a table that no terminal bounds."""

STYLES = {
    "done": "green",
    "running": "bold",
    "failed": "red",
    "killed": "red",
    "saved": "yellow",
    "queued": "cyan",
}


def show(place: Path | None) -> None:
    """Print where a run, a sweep, or all that lies in `runs` stands.

    Raises:
        UserError: the place is neither.
    """
    known = jobs()
    if place is None:
        _show_all(find(Path("runs")), known)
        return
    found = named(place)
    if isinstance(found, Sweep):
        show_sweep(found, known)
    else:
        _show_run(found, known)


def _show_all(found: Sequence[Sweep | RunPaths], known: Jobs | None) -> None:
    if not found:
        print("no runs below runs/; pacos status FOLDER looks at another run or sweep")
        return
    table = _table("run")
    for one in found:
        if isinstance(one, Sweep):
            statuses = [read_status(run, known) for run in one.runs()]
            table.add_row(one.path.name, f"{one.stage()} sweep", _counts(statuses))
        else:
            _add(table, [one.path.name], read_status(one, known))
    _print(table)


def show_sweep(sweep: Sweep, known: Jobs | None) -> None:
    """Print every point of a sweep."""
    varied, statuses = sweep.varied(), [read_status(run, known) for run in sweep.runs()]
    keys = list(dict.fromkeys(key for point in varied for key in point))
    table = _table("point", keys)
    for status, point in zip(statuses, varied, strict=True):
        _add(table, [status.run.path.name, *(short(point.get(key, "")) for key in keys)], status)
    _print(table)
    print(f"{sweep.path}: {_counts(statuses)}")
    if sweep.search() is not None:
        print("the same command goes on with the search, if it has not come to its end")
    elif any(status.needs_work for status in statuses):
        print(f"pacos resubmit {sweep.path} does what is neither done nor under way")


def _show_run(run: RunPaths, known: Jobs | None) -> None:
    status = read_status(run, known)
    parts = [run.path / schema.STAGE for schema in STAGES] if _is_pipeline(status) else []
    table = _table("run")
    for path in (run.path, *parts):
        if RunPaths(path).manifest.is_file():
            _add(table, [path.name], read_status(RunPaths(path), known))
    _print(table)
    if status.needs_work:
        print("the same command goes on with it")


def _is_pipeline(status: Status) -> bool:
    return status.stage == PipelineConfig.STAGE


def _counts(statuses: Sequence[Status]) -> str:
    counts = Counter(status.state for status in statuses)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _table(first: str, keys: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (first, *keys):
        table.add_column(name, overflow="fold")
    for name in ("stage", "state"):
        table.add_column(name)
    for name in ("step", "loss", "left"):
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    return table


def _add(table: Table, names: Sequence[str], status: Status) -> None:
    style = STYLES.get(status.state, "")
    state = f"[{style}]{status.state}[/]" if style else status.state
    steps = "" if not status.done and status.total is None else _steps(status)
    loss = "" if status.loss is None else f"{status.loss:.4f}"
    left = "" if status.seconds_left is None else duration(status.seconds_left)
    table.add_row(*names, status.stage, state, steps, loss, left, status.note)


def _steps(status: Status) -> str:
    return f"{status.done}" if status.total is None else f"{status.done}/{status.total}"


def _print(table: Table) -> None:
    # As wide as the terminal, and one line a run where a file or another program reads it.
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    console.print(table, highlight=False)
