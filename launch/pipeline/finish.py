"""The end of a pipeline."""

from __future__ import annotations

from launch.pipeline.summary import print_summary
from pacos.errors import EXIT_DONE
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths


def conclude(run: RunPaths) -> int:
    """Finish a pipeline that has nothing left to do, and print what came out."""
    lives = Lives(run)
    if lives.state() is State.done:
        print(f"pipeline: every stage is already done in {run.path}; nothing is repeated")
    else:
        lives.begin()
        finish(lives)
    print_summary(run, with_table=True)
    return EXIT_DONE


def finish(lives: Lives) -> None:
    """Write the report of a pipeline whose parts are done, and say that it is."""
    from launch.report.page import write_report

    write_report(lives.run.path)
    lives.end(State.done, "all stages done", EXIT_DONE)
