"""The end of a pipeline."""

from __future__ import annotations

from launch.pipeline.summary import print_summary
from pacos.errors import EXIT_DONE
from pacos.run.directory import RunDir, State


def conclude(run: RunDir) -> int:
    """Finish a pipeline that has nothing left to do, and print what came out."""
    if run.state() is State.done:
        print(f"pipeline: every stage is already done in {run.path}; nothing is repeated")
    else:
        run.begin_life()
        finish(run)
    print_summary(run, with_table=True)
    return EXIT_DONE


def finish(run: RunDir) -> None:
    """Write the report of a pipeline whose parts are done, and say that it is."""
    from launch.report.page import write_report

    write_report(run.path)
    run.end_life(State.done, "all stages done", EXIT_DONE)
