"""Tables of runs for the terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from launch.status.read import RunStatus
from pacos.text.duration import duration

PIPE_WIDTH = 240
"""Columns of a table that is not written to a terminal: wide enough for one line a run."""

STYLES = {
    "done": "green",
    "running": "bold",
    "failed": "red",
    "killed": "red",
    "saved": "yellow",
    "queued": "cyan",
}
"""Colours of states."""


class StatusTable:
    """A table with one line a run: identifying columns first, then state and progress."""

    def __init__(self, *columns: str) -> None:
        """Start a table whose first columns, which identify a run, have these names."""
        self._table = Table(box=None, pad_edge=False, header_style="dim")
        for name in columns:
            self._table.add_column(name, overflow="fold")
        for name in ("stage", "state"):
            self._table.add_column(name)
        for name in ("step", "loss", "left"):
            self._table.add_column(name, justify="right")
        self._table.add_column("", overflow="fold")

    def add_run(self, names: Sequence[str], status: RunStatus) -> None:
        """Add the line of a run; `names` fills the identifying columns."""
        style = STYLES.get(status.state, "")
        state = f"[{style}]{status.state}[/]" if style else status.state
        steps = "" if not status.done and status.total is None else _steps(status)
        loss = "" if status.loss is None else f"{status.loss:.4f}"
        left = "" if status.seconds_left is None else duration(status.seconds_left)
        self._table.add_row(*names, status.stage, state, steps, loss, left, status.note)

    def add_group(self, name: str, stage: str, statuses: Sequence[RunStatus]) -> None:
        """Add one line for several runs, with the number of runs in each state."""
        self._table.add_row(name, stage, count_states(statuses))

    def print(self) -> None:
        """Print the table, as wide as the terminal if there is one."""
        console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
        console.print(self._table, highlight=False)


def count_states(statuses: Sequence[RunStatus]) -> str:
    """Return the number of runs in each state, such as `2 done, 1 failed`."""
    counts = Counter(status.state for status in statuses)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _steps(status: RunStatus) -> str:
    return f"{status.done}" if status.total is None else f"{status.done}/{status.total}"
