"""The stages in a row, each an ordinary run below the pipeline's, then the report."""

from __future__ import annotations

import sys

from launch.config import JobConfig, PipelineConfig
from launch.local import run_here
from launch.pipeline.chain import begin_chain
from launch.pipeline.finish import conclude, finish
from launch.pipeline.parts import read_links
from launch.pipeline.summary import print_summary
from pacos.errors import EXIT_DONE, EXIT_SAVED
from pacos.run.lives import Lives, State
from pacos.run.open import find_run, open_run
from pacos.run_paths import RunPaths


def run_pipeline(config: PipelineConfig) -> int:
    """Do what is not done yet, in order; returns the exit code of the first stage that fails.

    Raises:
        UserError: the directory belongs to another run, or Slurm refused a job.
    """
    run = find_run(config)
    links = read_links(config, run.path)
    if any(link.is_job for link in links):
        return begin_chain(config, run)
    open_run(config)
    lives = Lives(run)
    if lives.state() is State.done and all(link.is_done for link in links):
        return conclude(run)
    lives.begin()
    judged_before = Lives(run.stage("eval")).state() is State.done
    for link in links:
        code = _run_checked(link.config, run)
        if code != EXIT_DONE:
            state = State.saved if code == EXIT_SAVED else State.failed
            lives.end(state, f"{link.name} ended with exit code {code}", code)
            print("pipeline: stopped; the same command goes on from there", file=sys.stderr)
            return code
    finish(lives)
    print_summary(run, with_table=judged_before)
    return EXIT_DONE


def _run_checked(stage: JobConfig, pipeline: RunPaths) -> int:
    if pipeline.stop.exists():
        return EXIT_SAVED
    run = open_run(stage)
    was_done = Lives(run).state() is State.done
    code = run_here(stage, run, pipeline.stop)
    # Asked to stop when its last step was under way, a stage is done and yet the next must not
    # begin.
    asked = run.stop.exists() and not was_done
    return EXIT_SAVED if code == EXIT_DONE and asked else code
