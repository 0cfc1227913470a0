"""report.html of a sweep: its points compared, the best first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.jobs.queue import jobs
from launch.report.page import breakable, template
from launch.status.read import Jobs, Status, read_status
from launch.sweep import Sweep, short
from pacos.files import atomic_write, read_json
from pacos.run_paths import RunPaths


@dataclass(frozen=True, slots=True)
class Row:
    """One point."""

    number: int
    varied: Mapping[str, str]
    status: Status
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
    """Its name; None where no point has a result that names one."""
    higher_is_better: bool
    rows: Sequence[Row]

    @property
    def counts(self) -> str:
        """How many points stand where."""
        counts = Counter(row.status.state for row in self.rows)
        return ", ".join(f"{count} {state}" for state, count in counts.items())

    @property
    def best(self) -> Row | None:
        return self.rows[0] if self.rows and self.rows[0].value is not None else None

    @property
    def keys(self) -> list[str]:
        """What the points differ in."""
        return list(dict.fromkeys(key for row in self.rows for key in row.varied))

    @property
    def figures(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.figures))


def write_sweep_report(sweep: Sweep) -> Path:
    """Write the report of a sweep into its folder, from what is there; returns its path."""
    page = template("sweep.html.j2", breakable, short, figure)
    atomic_write(sweep.report, page.render(page=read_sweep_page(sweep, jobs())))
    return sweep.report


def read_sweep_page(sweep: Sweep, known: Jobs | None) -> SweepPage:
    """Read all that the report of a sweep shows."""
    rows, objective = [], None
    for number, (run, varied) in enumerate(zip(sweep.runs(), sweep.varied(), strict=True)):
        result = read_json(run.result) if run.result.is_file() else {}
        objective = result.get("objective", objective)
        rows.append(_row(number, run, varied, result, known))
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
    known: Jobs | None,
) -> Row:
    figures = {
        name: value
        for name, value in result.items()
        if isinstance(value, int | float) and name != "steps"
    }
    return Row(
        number=number,
        varied=varied,
        status=read_status(run, known),
        value=result["objective"]["value"] if "objective" in result else None,
        figures=figures,
        has_report=run.report.is_file(),
    )


def figure(value: float) -> str:
    """A result with the digits that matter."""
    return f"{value:.5g}"
