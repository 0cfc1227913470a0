"""The measurements of an evaluation, and the models that they are made on."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from eval.config import ENDPOINT, HELDOUT, EvalConfig
from eval.configs.humaneval import TASK as HUMANEVAL
from eval.engine.lm import SharedPrefixLM
from eval.engine.loading import build_lm, copy_devices
from eval.engine.rank_workers import RankWorkers
from eval.geval.answers import suite_prompts, write_answers
from eval.harness.endpoint import EndpointLM, check_tasks
from eval.harness.heldout import read_rows, score_heldout
from eval.harness.model import EvaluatedModel
from eval.harness.results import score_suite
from eval.harness.served import serve_model
from eval.harness.suites import build_suite
from eval.humaneval.task import build_humaneval
from eval.inputs import input_files, model_digests, record_inputs
from eval.rubrics.rubric import read_rubrics
from pacos.distributed import World
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths

log = logging.getLogger(__name__)

Measure = Callable[[EvaluatedModel, Path], None]
"""Measures a model and publishes the results in a folder, which exists once they are complete."""


class ModelLoader:
    """Loads one model at a time: on the ranks, or in a server beside the run."""

    def __init__(
        self, config: EvalConfig, run: RunPaths, workers: RankWorkers, stop: StopRequest
    ) -> None:
        self._config, self._run = config, run
        self._workers, self._stop = workers, stop
        self._lm: SharedPrefixLM | None = None
        workers.register("load", self._load)

    @contextmanager
    def loaded(self, label: str) -> Iterator[EvaluatedModel]:
        """Give the model of a label, loaded on the ranks or behind a server. Rank 0 calls this."""
        config, path = self._config, self._config.models()[label]
        if path == ENDPOINT:
            assert config.endpoint is not None, "EvalConfig.problems() asks for one"
            folder = self._run.eval / ENDPOINT
            yield EndpointLM(config.endpoint, config.seed, folder, self._stop)
        elif config.serve is not None:
            log.info("%s: serving %s", label, path)
            with serve_model(path, config, self._run, self._stop) as served:
                yield served
        else:
            log.info("%s: loading %s", label, path)
            yield self._load_on_ranks(path, model_digests(self._run, label))

    def _load_on_ranks(self, path: str, digests: dict[str, str]) -> EvaluatedModel:
        workers = self._workers
        workers.employ()
        batches = workers.run("load", [(path, digests)] * workers.size)
        copies = [rank for batch in batches for rank in batch]
        if len(copies) < workers.size:
            log.info("%s: %d copies on the GPUs of %d ranks", path, len(copies), workers.size)
        workers.employ(copies)
        assert self._lm is not None, "rank 0 always has a copy"
        return self._lm

    def _load(self, share: tuple[str, dict[str, str]]) -> Generator[list[int], None, None]:
        """Load this rank's copy; yield the rank if it has one."""
        path, digests = share
        if self._lm is not None:
            # The previous model goes first: memory may not hold two.
            self._lm.release()
            self._lm = None
            gc.collect()
            # A copy of another rank may need this rank's GPU.
            torch.cuda.empty_cache()
        devices = copy_devices(path, self._config)
        if devices:
            self._lm = build_lm(path, self._config, self._workers, digests, devices)
        yield [World.from_env().rank] if devices else []


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
