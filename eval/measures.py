"""The measurements of an evaluation, and the models that they are made on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from eval.config import ENDPOINT, HELDOUT, EvalConfig
from eval.configs.humaneval import TASK as HUMANEVAL
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm
from eval.engine.rank_workers import RankWorkers
from eval.geval.answers import suite_prompts, write_answers
from eval.harness.endpoint import EndpointLM, check_tasks
from eval.harness.heldout import read_rows, score_heldout
from eval.harness.model import EvaluatedModel
from eval.harness.results import score_suite
from eval.harness.suites import build_suite
from eval.humaneval.task import build_humaneval
from eval.inputs import input_files, model_digests, record_inputs
from eval.rubrics.rubric import read_rubrics
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths

log = logging.getLogger(__name__)

Measure = Callable[[EvaluatedModel, Path], None]
"""Measures a model and publishes the results in a folder, which exists once they are complete."""


class ModelLoader:
    """Loads one model at a time, on all ranks."""

    def __init__(
        self, config: EvalConfig, run: RunPaths, workers: RankWorkers, stop: StopRequest
    ) -> None:
        self._config, self._run = config, run
        self._workers, self._stop = workers, stop
        self._lm: SharedPrefixLM | None = None
        workers.register("load", self._load)

    def load(self, label: str) -> EvaluatedModel:
        """Load the model of a label on all ranks, or open its endpoint. Rank 0 calls this."""
        path = self._config.models()[label]
        if path == ENDPOINT:
            return EndpointLM(self._config, self._run.eval / ENDPOINT, self._stop)
        log.info("%s: loading %s", label, path)
        share = path, model_digests(self._run, label)
        for _ in self._workers.run("load", [share] * self._workers.size):
            pass
        assert self._lm is not None
        return self._lm

    def _load(self, share: tuple[str, dict[str, str]]) -> Generator[list[Any], None, None]:
        path, digests = share
        # The previous model goes first: memory may not hold two.
        self._lm = None
        self._lm = build_lm(path, self._config, self._workers, digests)
        yield []


def build_measures(config: EvalConfig, run: RunPaths) -> dict[str, Measure]:
    """Build every measurement by the name of its folder, with tasks, prompts and rows loaded.

    Raises:
        UserError: data cannot be loaded, or differ from those of an earlier life of the run.
    """
    suite = build_suite(config.suite)
    record_inputs(run, input_files(config, suite.files))
    tasks = suite.tasks
    if config.endpoint is not None:
        check_tasks(config.endpoint, tasks)
    measures: dict[str, Measure] = {}
    if HUMANEVAL in config.suite.tasks:
        verdicts = run.eval / config.suite.name / ".verdicts.jsonl"
        tasks = [*tasks, build_humaneval(config, verdicts)]
    if tasks:
        measures[config.suite.name] = partial(score_suite, tasks=tasks, config=config)
    if config.suite.rubrics:
        prompts = suite_prompts(read_rubrics(config.suite), config.limit)
        measures[config.suite.name] = partial(write_answers, prompts=prompts, config=config)
    if config.heldout is not None:
        rows = read_rows(Path(config.heldout).expanduser())
        measures[HELDOUT] = partial(score_heldout, rows=rows, config=config)
    return measures
