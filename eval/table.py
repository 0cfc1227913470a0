"""The comparison as a table for a person."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from eval.compare import Difference, Verdict

STYLES = {Verdict.better: "green", Verdict.worse: "red", Verdict.cannot_tell: "dim"}

WIDTH = 110
"""Characters of a line where the table does not go to a terminal."""


def comparison_table(differences: Sequence[Difference], caption: str) -> Table:
    """Every figure before and after, and what the difference means."""
    table = Table(caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("metric")
    for heading in ("items", "before", "after", "difference", "95 % interval", "p"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for found in differences:
        low, high = found.interval
        table.add_row(
            f"{found.name} {'↑' if found.higher_is_better else '↓'}",
            str(found.items),
            f"{found.before:.3f}",
            f"{found.after:.3f}",
            f"{found.difference:+.3f}",
            f"{low:+.3f} … {high:+.3f}",
            f"{found.p:.3f}" if found.p >= 0.001 else "<0.001",
            found.verdict.value,
            style=STYLES[found.verdict],
        )
    return table


def score_table(scores: Mapping[str, float]) -> Table:
    """The figures of one model, where there is none to compare with."""
    table = Table("metric", box=box.SIMPLE_HEAD)
    table.add_column("score", justify="right")
    for name, value in scores.items():
        table.add_row(name, f"{value:.3f}")
    return table


def as_text(table: Table) -> str:
    """The table without colours."""
    text = io.StringIO()
    Console(file=text, width=WIDTH).print(table)
    return text.getvalue()
