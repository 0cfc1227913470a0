"""The report of a sweep: one HTML page that compares its points, the best first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.jobs.queue import Jobs, read_queue
from launch.report.page import breakable, load_template
from launch.status.read import RunStatus, read_status
from launch.status.table import count_states
from launch.sweeps.folder import Sweep
from launch.sweeps.table import shorten_number
from pacos.files import atomic_write, read_json
from pacos.run_paths import RunPaths


@dataclass(frozen=True, slots=True)
class PointRow:
    """The table row of one point."""

    number: int
    varied: Mapping[str, str]
    status: RunStatus
    value: float | None
    """Its objective; None without a result."""
    figures: Mapping[str, float]
    """All numbers of its result."""
    has_report: bool


@dataclass(frozen=True, slots=True)
class SweepPage:
    """Everything that the template shows."""

    name: str
    stage: str
    is_search: bool
    objective: str | None
    """Name of the objective; None while no point has a result with one."""
    higher_is_better: bool
    rows: Sequence[PointRow]

    @property
    def counts(self) -> str:
        """The number of points in each state."""
        return count_states([row.status for row in self.rows])

    @property
    def best(self) -> PointRow | None:
        return self.rows[0] if self.rows and self.rows[0].value is not None else None

    @property
    def keys(self) -> list[str]:
        """The config keys in which points differ."""
        return list(dict.fromkeys(key for row in self.rows for key in row.varied))

    @property
    def figures(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.figures))


def write_sweep_report(sweep: Sweep) -> Path:
    """Write the report of a sweep in its present state, and return the path."""
    template = load_template("sweep.html.j2", breakable, shorten_number, five_digits)
    atomic_write(sweep.report, template.render(page=read_sweep_page(sweep, read_queue())))
    return sweep.report


def read_sweep_page(sweep: Sweep, jobs: Jobs | None) -> SweepPage:
    """Read everything that the report of a sweep shows."""
    rows, objective = [], None
    for number, (run, varied) in enumerate(zip(sweep.runs(), sweep.varied(), strict=True)):
        result = read_json(run.result) if run.result.is_file() else {}
        objective = result.get("objective", objective)
        rows.append(_row(number, run, varied, result, jobs))
    higher = bool(objective and objective["higher_is_better"])
    sign = -1 if higher else 1
    rows.sort(key=lambda row: math.inf if row.value is None else sign * row.value)
    return SweepPage(
        name=sweep.path.name,
        stage=sweep.stage(),
        is_search=sweep.search() is not None,
        objective=objective["name"] if objective else None,
        higher_is_better=higher,
        rows=rows,
    )


def _row(
    number: int,
    run: RunPaths,
    varied: Mapping[str, str],
    result: Mapping[str, Any],
    jobs: Jobs | None,
) -> PointRow:
    figures = {
        name: value
        for name, value in result.items()
        if isinstance(value, int | float) and name != "steps"
    }
    return PointRow(
        number=number,
        varied=varied,
        status=read_status(run, jobs),
        value=result["objective"]["value"] if "objective" in result else None,
        figures=figures,
        has_report=run.report.is_file(),
    )


def five_digits(value: float) -> str:
    """Format a result with five significant digits."""
    return f"{value:.5g}"
