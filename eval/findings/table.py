"""Tables of the results for a person."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from eval.findings.significance import ComparisonVerdict, Difference

STYLES = {
    ComparisonVerdict.better: "green",
    ComparisonVerdict.worse: "red",
    ComparisonVerdict.cannot_tell: "dim",
}

WIDTH = 100
"""Characters per line where the output is not a terminal."""


def comparison_table(differences: Sequence[Difference], caption: str) -> Table:
    """Build the table of every figure before and after, with its verdict."""
    table = Table(caption=caption, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    table.add_column("metric (items)", overflow="fold")
    for heading in ("before", "after", "change", "95 % interval", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    last = None
    for line in differences:
        task, _, metric = line.name.rpartition("/")
        if task != last:
            table.add_row(task, style="bold")
            last = task
        low, high = line.interval
        table.add_row(
            f"  {metric} {'↑' if line.higher_is_better else '↓'} ({line.items})",
            f"{line.before:.3f}",
            f"{line.after:.3f}",
            f"{line.difference:+.3f}",
            f"{low:+.3f} … {high:+.3f}",
            _format_p(line.deciding_p),
            line.verdict.value,
            style=STYLES[line.verdict],
        )
    return table


def _format_p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def score_table(scores: Mapping[str, float], errors: Mapping[str, float]) -> Table:
    """Build the table of one model's figures.

    Args:
        scores: figures by task/metric.
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
    """Render a table without colours, in lines of at most WIDTH characters."""
    text = io.StringIO()
    Console(file=text, width=WIDTH).print(table)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def show(table: Table) -> None:
    """Print a table, in the width of the terminal if the output is one."""
    console = Console()
    if console.is_terminal:
        console.print(table)
    else:
        # rich assumes 80 columns without a terminal, which would fold the columns of figures.
        print(as_text(table), end="", flush=True)
