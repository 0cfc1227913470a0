"""A suite scored on the weights in training, without any effect on the training."""

from __future__ import annotations

import copy
import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from eval.engine.lm import SharedPrefixLM
from eval.engine.rank_workers import RankWorkers
from eval.harness.results import SuiteResult, run_harness
from eval.harness.suites import build_suite
from pacos.configs.inloop import InLoopConfig
from pacos.distributed import World
from pacos.model.protocols import CausalLM, Tokenizer
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.run.stop import StopCheck


class TrainingEngine(Protocol):
    """The members of a training engine that evaluation uses; DeepSpeed's engine has them."""

    @property
    def module(self) -> CausalLM: ...
    @property
    def device(self) -> torch.device: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class ModelInTraining:
    """A model as evaluation sees it during training."""

    engine: TrainingEngine
    """Holds the weights, under any ZeRO stage."""
    tokenizer: Tokenizer
    prompt_format: PromptFormat | None
    """The format that the model is trained on; None for the tokenizer's own."""
    end_ids: Collection[int]
    """Tokens that end an answer."""


class TrainingSuite:
    """Scores a model in training. Every rank constructs one, and every rank calls `scores`."""

    def __init__(
        self,
        config: InLoopConfig,
        model: ModelInTraining,
        world: World,
        *,
        seed: int,
        stop: StopCheck,
    ) -> None:
        """Load the tasks and their data.

        Args:
            config: the suite and its sizes; a suite must be set.
            model: the model to score.
            world: this rank.
            seed: seed of the examples in prompts.
            stop: asked between rounds, on every rank; one that has a reason stops all.

        Raises:
            UserError: a task or its data cannot be loaded.
        """
        assert config.suite is not None, "the caller runs no suite without one"
        self._suite, self._limit, self._seed = config.suite, config.limit, seed
        self._engine, self._world = model.engine, world
        self._workers = RankWorkers(world, stop)
        # Only rank 0 runs lm_eval; the others compute shares of its requests.
        self._tasks = build_suite(config.suite).tasks if world.is_main else []
        tokenizer = copy.deepcopy(model.tokenizer)
        if model.prompt_format is not None:
            tokenizer.chat_template = FORMATS[model.prompt_format].exported()
        with _untouched(model.engine):
            self._lm = SharedPrefixLM(
                model.engine.module,
                tokenizer,
                self._workers,
                batch_size=config.batch_size,
                batch_tokens=config.batch_tokens,
                seed=seed,
                device=model.engine.device,
                end_ids=model.end_ids,
            )

    def scores(self) -> dict[str, float]:
        """Return scores by task/metric on rank 0, and nothing on the other ranks.

        Raises:
            Stopped: on rank 0, if any rank was asked to stop.
        """
        with _untouched(self._engine):
            if not self._world.is_main:
                self._workers.serve()
                return {}
            try:
                results = run_harness(self._lm, self._tasks, self._suite, self._limit, self._seed)
            finally:
                self._workers.dismiss()
        return SuiteResult(results, results.pop("samples")).values()


@contextmanager
def _untouched(engine: TrainingEngine) -> Iterator[None]:
    """Restore the engine's mode and all random states afterwards.

    A run with a suite must have the same losses as one without: lm_eval seeds Python's, NumPy's and
    torch's generators for itself.
    """
    was_training = engine.module.training
    states = random.getstate(), np.random.get_state()
    devices = [engine.device] if engine.device.type == "cuda" else []
    # Compiled layers would be compiled a second time for the attention of evaluation.
    with torch.random.fork_rng(devices), torch.compiler.set_stance("force_eager"):
        engine.eval()
        try:
            yield
        finally:
            engine.train(was_training)
            random.setstate(states[0])
            np.random.set_state(states[1])
