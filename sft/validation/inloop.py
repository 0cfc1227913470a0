"""A suite of tasks every so many steps, beside the held-out rows: eval's part of training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pacos.distributed import World
from pacos.tracking import metrics
from sft.config import SFTConfig
from sft.data.tokenizer import stop_ids
from sft.monitor.stopping import Stopping
from sft.validation.heldout import Validation

if TYPE_CHECKING:
    from eval.inloop import TrainingSuite


LONGEST_SUITE_SECONDS = 7200.0
"""Seconds that other ranks wait for rank 0, which builds prompts and computes metrics."""


class InLoop:
    """What is measured while the model trains: held-out rows, and a suite if there is one."""

    def __init__(
        self,
        config: SFTConfig,
        validation: Validation,
        engine: Any,
        tokenizer: Any,
        world: World,
        stopping: Stopping,
    ) -> None:
        """Load the suite.

        Args:
            config: of the run.
            validation: held-out rows.
            engine: of DeepSpeed.
            tokenizer: of the model.
            world: this rank.
            stopping: looked at between the passes of the suite.

        Raises:
            UserError: a task or its data cannot be loaded.
        """
        self._validation = validation
        self._stopping = stopping
        self._every_steps = config.inloop.every_steps
        self._suite: TrainingSuite | None = None
        if config.inloop.suite is not None:
            from eval.inloop import TrainingSuite

            self._suite = TrainingSuite(
                config.inloop.suite,
                engine,
                tokenizer,
                world,
                prompt_format=config.model.prompt_format,
                end_ids=stop_ids(config, tokenizer, engine.module),
                limit=config.inloop.limit,
                batch_size=config.inloop.batch_size,
                batch_tokens=config.inloop.batch_tokens,
                seed=config.seed,
                stop=partial(stopping.reason, "suite", LONGEST_SUITE_SECONDS),
            )

    def at(self, step: int, last: int) -> dict[str, float]:
        """What is measured after a step (0: before the first) of a run of `last` steps.

        Raises:
            Stopped: on every rank; nothing of it is kept.
        """
        measured = self._validation.at(step, last)
        due = step in (0, last) or step % self._every_steps == 0
        if self._suite is not None and due:
            with self._stopping.afterwards("suite"):
                scores = self._suite.scores()
            measured |= {f"{metrics.SUITE}/{name}": score for name, score in scores.items()}
        return measured
