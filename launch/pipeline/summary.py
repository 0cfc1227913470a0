"""What a finished pipeline prints: the model before and after, and where everything lies."""

from __future__ import annotations

from rich.console import Console

from pacos.run.directory import RunDir


def print_summary(run: RunDir, *, with_table: bool) -> None:
    """Print the comparison table that eval wrote, unless it was just shown, and what lies where."""
    console = Console()
    table = RunDir(run.path / "eval").eval / "comparison.txt"
    if with_table and table.is_file():
        console.out(table.read_text(encoding="utf-8"), highlight=False)
    places = {
        "report": run.report,
        "data": run.path / "selfinstruct" / "data",
        "model": run.path / "sft" / "model",
        "metrics": run.path / "sft" / "metrics.jsonl",
    }
    for name, path in places.items():
        console.out(f"{name:<8} {path}", highlight=False)
