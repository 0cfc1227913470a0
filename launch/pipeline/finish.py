"""The end of a pipeline: its report, its state, and a summary for the terminal."""

from __future__ import annotations

from rich.console import Console

from launch.report.page import write_report
from pacos.cards.model import renew_card
from pacos.errors import EXIT_DONE
from pacos.lineage.library import Library
from pacos.run.lives import Lives, State
from pacos.run_paths import EvalPaths, RunPaths


def finish(lives: Lives) -> None:
    """Write report and model card of a pipeline whose parts are done, and end its life as done."""
    sft = lives.run.stage("sft")
    renew_card(sft.model, Library.around(sft.path))
    write_report(lives.run.path)
    lives.end(State.done, "all stages done", EXIT_DONE)


def conclude(run: RunPaths) -> int:
    """Finish a pipeline that has nothing left to run, print its summary, and return the exit code.

    The parts can be done before the pipeline is: each part can also be continued by itself.
    """
    lives = Lives(run)
    if lives.state() is State.done:
        print(f"pipeline: every stage is already done in {run.path}; nothing to run")
    else:
        lives.begin()
        finish(lives)
    print_summary(run, with_table=True)
    return EXIT_DONE


def print_summary(run: RunPaths, *, with_table: bool) -> None:
    """Print where the results of a finished pipeline are.

    Args:
        run: the pipeline's run.
        with_table: print the comparison table that eval wrote, if it was not shown just before.
    """
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
