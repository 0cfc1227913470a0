"""A pipeline on this machine: the stages in sequence, each an ordinary run, then the report."""

from __future__ import annotations

import sys

from launch.config import JobConfig, PipelineConfig
from launch.local import run_here
from launch.pipeline.chain import submit_pipeline
from launch.pipeline.finish import conclude, finish, print_summary
from launch.pipeline.parts import read_parts
from pacos.errors import EXIT_DONE, EXIT_SAVED
from pacos.run.lives import Lives, State
from pacos.run.open import find_run, open_run
from pacos.run_paths import RunPaths


def run_pipeline(config: PipelineConfig) -> int:
    """Run the parts that are not done, in order; return the exit code of the first that fails.

    A pipeline with jobs in it is submitted instead, and this returns at once.

    Raises:
        UserError: the run directory belongs to another run, or Slurm refused a job.
    """
    run = find_run(config)
    parts = read_parts(config, run.path)
    if any(part.is_job for part in parts):
        return submit_pipeline(config, run)
    open_run(config)
    lives = Lives(run)
    if lives.state() is State.done and all(part.is_done for part in parts):
        return conclude(run)
    lives.begin()
    # A fresh evaluation prints its own table; the summary must not repeat it.
    was_evaluated = Lives(run.stage("eval")).state() is State.done
    for part in parts:
        code = _run_stage(part.config, run)
        if code != EXIT_DONE:
            state = State.saved if code == EXIT_SAVED else State.failed
            lives.end(state, f"{part.name} ended with exit code {code}", code)
            print("pipeline: stopped; run the same command again to continue", file=sys.stderr)
            return code
    finish(lives)
    print_summary(run, with_table=was_evaluated)
    return EXIT_DONE


def _run_stage(stage: JobConfig, pipeline: RunPaths) -> int:
    if pipeline.stop.exists():
        return EXIT_SAVED
    run = open_run(stage)
    was_done = Lives(run).state() is State.done
    code = run_here(stage, run, pipeline.stop)
    # A stop request can come during a stage's last step: that stage is done, and yet the next one
    # must not start.
    was_asked_to_stop = run.stop.exists() and not was_done
    return EXIT_SAVED if code == EXIT_DONE and was_asked_to_stop else code
