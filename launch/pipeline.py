"""The three stages in a row, each an ordinary run below the pipeline's, then the report."""

from __future__ import annotations

import sys

from launch.config import PipelineConfig
from launch.local import is_done, run_here
from launch.summary import print_summary
from pacos.config import StageConfig
from pacos.errors import EXIT_DONE, EXIT_SAVED
from pacos.run_dir import RunDir, State, open_run


def run_pipeline(config: PipelineConfig, run: RunDir) -> int:
    """Do what is not done yet, in order; returns the exit code of the first stage that fails."""
    stages = config.stages(run.path)
    whole = all(is_done(stage, RunDir(run.path / stage.STAGE)) for stage in stages)
    if run.state() is State.done and whole:
        print(f"pipeline: every stage is already done in {run.path}; nothing is repeated")
        print_summary(run, with_table=True)
        return EXIT_DONE
    run.begin_life()
    judged_before = RunDir(run.path / "eval").state() is State.done
    for stage in stages:
        code = _run_checked(stage, run)
        if code != EXIT_DONE:
            state = State.saved if code == EXIT_SAVED else State.failed
            run.end_life(state, f"{stage.STAGE} ended with exit code {code}", code)
            print("pipeline: stopped; the same command goes on from there", file=sys.stderr)
            return code
    from launch.report import write_report

    write_report(run.path)
    run.end_life(State.done, "all stages done", EXIT_DONE)
    print_summary(run, with_table=judged_before)
    return EXIT_DONE


def _run_checked(stage: StageConfig, pipeline: RunDir) -> int:
    if pipeline.stop.exists():
        return EXIT_SAVED
    run = open_run(stage)
    was_done = run.state() is State.done
    code = run_here(stage, run, pipeline.stop)
    # Asked to stop when its last step was under way, a stage is done and yet the next must not
    # begin.
    asked = run.stop.exists() and not was_done
    return EXIT_SAVED if code == EXIT_DONE and asked else code
