"""A suite on the weights that are being trained. The training does not notice it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from eval.engine.lm import SharedPrefixLM
from eval.engine.rank_workers import RankWorkers
from eval.harness.results import SuiteResult, run_harness
from eval.harness.suites import build_suite
from pacos.configs.suite import SuiteConfig
from pacos.distributed import World
from pacos.model.formats import PromptFormat
from pacos.model.prompts import FORMATS


class TrainingSuite:
    """Scores the model inside an engine. Every rank makes one, and every rank calls `scores`."""

    def __init__(
        self,
        suite: SuiteConfig,
        engine: Any,
        tokenizer: Any,
        world: World,
        *,
        prompt_format: PromptFormat | None,
        end_ids: Collection[int],
        limit: int | None,
        batch_size: int,
        batch_tokens: int,
        seed: int,
        stop: Callable[[], str | None],
    ) -> None:
        """Load the tasks and their data.

        Args:
            suite: the tasks.
            engine: of DeepSpeed, at any stage of ZeRO.
            tokenizer: of the model.
            world: this rank.
            prompt_format: that the model is trained on; None for the tokenizer's own.
            end_ids: tokens that end an answer.
            limit: items a task; None takes all.
            batch_size: answers that are generated at the same time.
            batch_tokens: tokens of a forward pass.
            seed: of examples in prompts.
            stop: says why to stop, on any rank; None to go on.

        Raises:
            UserError: a task or its data cannot be loaded.
        """
        self._suite, self._limit, self._seed = suite, limit, seed
        self._engine, self._world = engine, world
        self._workers = RankWorkers(world, stop)
        self._tasks = build_suite(suite).tasks if world.is_main else []
        own = copy.deepcopy(tokenizer)
        if prompt_format is not None:
            own.chat_template = FORMATS[prompt_format].exported()
        with untouched(engine):
            self._lm = SharedPrefixLM(
                engine.module,
                own,
                self._workers,
                batch_size=batch_size,
                batch_tokens=batch_tokens,
                seed=seed,
                device=engine.device,
                end_ids=end_ids,
            )

    def scores(self) -> dict[str, float]:
        """Figures under task/metric names; none on other ranks than 0.

        Raises:
            Stopped: on rank 0.
        """
        with untouched(self._engine):
            if not self._world.is_main:
                self._workers.serve()
                return {}
            try:
                results = run_harness(self._lm, self._tasks, self._suite, self._limit, self._seed)
            finally:
                self._workers.dismiss()
        return SuiteResult(results, results.pop("samples")).values()


@contextmanager
def untouched(engine: Any) -> Iterator[None]:
    """Leave the engine's mode and every random state as they were."""
    was_training = engine.module.training
    states = random.getstate(), np.random.get_state()
    devices = [engine.device] if engine.device.type == "cuda" else []
    # Compiled layers would be compiled again for the attention of evaluation.
    with torch.random.fork_rng(devices), torch.compiler.set_stance("force_eager"):
        engine.eval()
        try:
            yield
        finally:
            engine.train(was_training)
            random.setstate(states[0])
            np.random.set_state(states[1])
