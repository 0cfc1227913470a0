"""The program of evaluation: every model on every part, then before against after.

python -m eval.run --config RUN/config.yaml
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.config import ENDPOINT, HELDOUT, SCHEMAS, EvalConfig
from eval.configs.humaneval import TASK as HUMANEVAL
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import ConfigError, UserError, exit_with
from pacos.rank import end_with_parent, is_rank
from pacos.run.program import live, load_program
from pacos.run.stop import Stopped, StopRequest
from pacos.run_paths import RunPaths

if TYPE_CHECKING:
    from eval.engine.lm import SharedContextLM
    from eval.engine.rank_workers import Team

log = logging.getLogger("eval.run")

Score = Callable[[Any, Path], None]
"""Measures one thing: takes a model, and the folder where the results are to appear."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate from a command line; returns the exit code."""
    world = World.from_env()
    if is_rank():
        end_with_parent()
    set_up_logging(is_main=world.is_main)
    # The harness draws a bar for every task it builds; tqdm reads this when it is imported.
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


def evaluate(config: EvalConfig, run: RunPaths, world: World) -> str | None:
    """Have every rank do its part; returns why it stopped before the end, if it did."""
    from eval.engine.rank_workers import Team, join_ranks

    stop = StopRequest(run.stop)
    join_ranks(world)
    team = Team(world, stop.reason)
    loader = Loader(config, team)
    if not world.is_main:
        team.serve()
        return stop.reason()
    try:
        reason = _lead(config, run, loader, stop)
    except Stopped as stopped:
        reason = _stopped(str(stopped))
    finally:
        team.dismiss()
    return reason or _finish(config, run, stop)


class Loader:
    """Loads models on all ranks, one after another."""

    def __init__(self, config: EvalConfig, team: Team) -> None:
        self._config, self._team = config, team
        self._lm: SharedContextLM | None = None
        team.learn("load", self._load)

    def load(self, path: str) -> SharedContextLM:
        """On rank 0: load a model everywhere."""
        for _ in self._team.do("load", [path] * self._team.size):
            pass
        assert self._lm is not None
        return self._lm

    def _load(self, path: str) -> Generator[list[Any], None, None]:
        from eval.engine.loading import build_lm

        self._lm = None  # The one before goes first: there may be no room for two.
        self._lm = build_lm(path, self._config, self._team)
        yield []


def _lead(config: EvalConfig, run: RunPaths, loader: Loader, stop: StopRequest) -> str | None:
    """Do the parts that are left; returns why it stopped before the last one, if it did."""
    from eval.harness.endpoint import check_tasks
    from eval.harness.suites import build_suite
    from eval.inputs import input_files, record_inputs

    suite = build_suite(config.suite)
    record_inputs(run, input_files(config, suite.files))
    if config.endpoint is not None:
        check_tasks(config.endpoint, suite.tasks)
    measures = _measures(config, run, suite.tasks)
    for label in config.models():
        left = {}
        for name, score in measures.items():
            folder = run.eval / name / label
            if folder.is_dir():
                log.info("%s: %s was finished before and is not repeated", label, name)
            else:
                left[folder] = score
        reason = stop.reason(at_once=True) or _measure(config, label, left, run, loader, stop)
        if reason is not None:
            return _stopped(reason)
    return None


def _finish(config: EvalConfig, run: RunPaths, stop: StopRequest) -> str | None:
    """Have a judge score answers, if there is one, and compare: no other rank is needed."""
    from eval.conclude import conclude

    if config.judge.endpoint is not None:
        from eval.geval.judging import judge_answers

        reason = judge_answers(config, run, stop)
        if reason is not None:
            return _stopped(reason)
    conclude(config, run)
    return None


def _stopped(reason: str) -> str:
    log.info("%s: stopped; the same command goes on with what is left", reason)
    return reason


def _measures(config: EvalConfig, run: RunPaths, tasks: list[Any]) -> dict[str, Score]:
    """What every model is measured on, by the name of its folder."""
    from eval.geval.answers import suite_prompts, write_answers
    from eval.harness.heldout import read_rows, score_heldout
    from eval.harness.results import score_suite
    from eval.humaneval.task import build_humaneval
    from eval.rubrics.rubric import read_rubrics

    measures: dict[str, Score] = {}
    if HUMANEVAL in config.suite.tasks:
        kept = run.eval / config.suite.name / ".verdicts.jsonl"
        tasks = [*tasks, build_humaneval(config, kept)]
    if tasks:
        measures[config.suite.name] = partial(score_suite, tasks=tasks, config=config)
    if config.suite.rubrics:
        prompts = suite_prompts(read_rubrics(config.suite), config.limit)
        measures[config.suite.name] = partial(write_answers, prompts=prompts, config=config)
    if config.heldout is not None:
        rows = read_rows(Path(config.heldout).expanduser())
        measures[HELDOUT] = partial(score_heldout, rows=rows, config=config)
    return measures


def _measure(
    config: EvalConfig,
    label: str,
    left: Mapping[Path, Score],
    run: RunPaths,
    loader: Loader,
    stop: StopRequest,
) -> str | None:
    """Do one model's parts; returns why it stopped before the last one, if it did."""
    if not left:
        return None
    from eval.harness.endpoint import EndpointLM
    from eval.inputs import model_content

    path = config.models()[label]
    lm: Any
    if path == ENDPOINT:
        lm = EndpointLM(config, run.eval / ENDPOINT, stop)
    else:
        log.info("%s: loading %s", label, path)
        lm = loader.load(path)
        lm.content = model_content(run, label)
    for folder, score in left.items():
        reason = stop.reason(at_once=True)
        if reason is not None:
            return reason
        log.info("%s: %s", label, folder.parent.name)
        score(lm, folder)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
