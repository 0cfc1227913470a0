"""What a finished pipeline prints: the model before and after, and where everything lies."""

from __future__ import annotations

from rich.console import Console

from pacos.run_paths import EvalPaths, RunPaths


def print_summary(run: RunPaths, *, with_table: bool) -> None:
    """Print the comparison table that eval wrote, unless it was just shown, and what lies where."""
    console = Console()
    table = EvalPaths(run.stage("eval").eval).comparison_text
    if with_table and table.is_file():
        console.out(table.read_text(encoding="utf-8"), highlight=False)
    places = {
        "report": run.report,
        "data": run.stage("selfinstruct").data,
        "model": run.stage("sft").model,
        "metrics": run.stage("sft").metrics,
    }
    for name, path in places.items():
        console.out(f"{name:<8} {path}", highlight=False)
