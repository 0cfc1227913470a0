"""The comparison as a table for a person."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from eval.findings.compare import Difference, Verdict

STYLES = {Verdict.better: "green", Verdict.worse: "red", Verdict.cannot_tell: "dim"}

WIDTH = 100
"""Characters of a line where the table does not go to a terminal."""


def comparison_table(differences: Sequence[Difference], caption: str) -> Table:
    """Every figure before and after, and what the difference means."""
    table = Table(caption=caption, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    table.add_column("metric (items)", overflow="fold")
    for heading in ("before", "after", "change", "95 % interval", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    last = None
    for found in differences:
        task, _, metric = found.name.rpartition("/")
        if task != last:
            table.add_row(task, style="bold")
            last = task
        low, high = found.interval
        table.add_row(
            f"  {metric} {'↑' if found.higher_is_better else '↓'} ({found.items})",
            f"{found.before:.3f}",
            f"{found.after:.3f}",
            f"{found.difference:+.3f}",
            f"{low:+.3f} … {high:+.3f}",
            _shown_p(found),
            found.verdict.value,
            style=STYLES[found.verdict],
        )
    return table


def _shown_p(found: Difference) -> str:
    p = found.deciding_p
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def score_table(scores: Mapping[str, float], errors: Mapping[str, float]) -> Table:
    """The figures of one model, where there is none to compare with.

    Args:
        scores: under task/metric names.
        errors: standard errors of those that have one.
    """
    table = Table("metric", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("score", justify="right")
    table.add_column("± s.e.", justify="right")
    for name, value in scores.items():
        error = errors.get(name, math.nan)
        table.add_row(name, f"{value:.3f}", "" if math.isnan(error) else f"{error:.3f}")
    return table


def as_text(table: Table) -> str:
    """The table without colours."""
    text = io.StringIO()
    Console(file=text, width=WIDTH).print(table)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def show(table: Table) -> None:
    """Print to a terminal in its width, and elsewhere in ours."""
    console = Console()
    if console.is_terminal:
        console.print(table)
    else:
        print(as_text(table), end="", flush=True)
