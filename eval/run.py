"""The evaluation program: measure every model on every part, compare, and conclude.

python -m eval.run --config RUN/config.yaml
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval.config import SCHEMAS, EvalConfig
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import ConfigError, UserError, exit_with
from pacos.rank import end_with_parent, is_rank
from pacos.run.program import live, load_program
from pacos.run.stop import Stopped, StopRequest
from pacos.run_paths import RunPaths

if TYPE_CHECKING:
    from eval.measures import Measure, ModelLoader

log = logging.getLogger("eval.run")


def main(arguments: Sequence[str]) -> int:
    """Evaluate from a command line; return the exit code."""
    world = World.from_env()
    if is_rank():
        end_with_parent()
    set_up_logging(is_main=world.is_main)
    # lm_eval draws a bar for every task it builds. tqdm reads this when it is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        config, run = _load(arguments, world)
    except UserError as error:
        return exit_with(error)
    return live(run, world, partial(evaluate, config, run, world))


def _load(arguments: Sequence[str], world: World) -> tuple[EvalConfig, RunPaths]:
    config, run = load_program(arguments, EvalConfig, SCHEMAS, world)
    missing = config.missing_files()
    if missing:
        raise ConfigError(missing)
    return config, run


def evaluate(config: EvalConfig, run: RunPaths, world: World) -> None:
    """Evaluate on all ranks. Rank 0 leads; the others compute shares of its work.

    Raises:
        Stopped: the run was asked to stop. Finished parts and answers so far are kept.
    """
    stop = StopRequest(run.stop)
    # Importing torch, transformers and lm_eval takes seconds: not before the config is checked and
    # signals are handled.
    from eval.conclude import conclude
    from eval.engine.rank_workers import RankWorkers, join_ranks
    from eval.geval.judging import judge_answers
    from eval.measures import ModelLoader, build_measures

    join_ranks(world)
    workers = RankWorkers(world, stop)
    loader = ModelLoader(config, run, workers, stop)
    if not world.is_main:
        workers.serve()
        stop.check()
        return
    try:
        try:
            measure_models(config, run, build_measures(config, run), loader, stop)
        finally:
            workers.dismiss()
        if config.judge.endpoint is not None:
            judge_answers(config, run, stop)
    except Stopped as stopped:
        log.info("%s: stopped; run the same command again to continue", stopped)
        raise
    conclude(config, run)


def measure_models(
    config: EvalConfig,
    run: RunPaths,
    measures: Mapping[str, Measure],
    loader: ModelLoader,
    stop: StopRequest,
) -> None:
    """Make every measurement of every model that no earlier life has finished.

    Raises:
        Stopped: the run was asked to stop.
    """
    for label in config.models():
        unfinished = {}
        for name, measure in measures.items():
            folder = run.eval / name / label
            if folder.is_dir():
                log.info("%s: %s was finished before and is not repeated", label, name)
            else:
                unfinished[folder] = measure
        # At once, because the last look may be only a moment ago, and what follows takes minutes.
        stop.check(at_once=True)
        if not unfinished:
            continue
        _measure(loader, label, unfinished, stop)


def _measure(
    loader: ModelLoader, label: str, measures: Mapping[Path, Measure], stop: StopRequest
) -> None:
    """Make measurements of one model, given by their folders, and let go of the model."""
    with loader.loaded(label) as model:
        for folder, measure in measures.items():
            stop.check(at_once=True)
            log.info("%s: %s", label, folder.parent.name)
            measure(model, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
