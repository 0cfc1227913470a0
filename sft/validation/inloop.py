"""Everything measured while the model trains: held-out rows, and a suite of eval if one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pacos.model.protocols import Tokenizer
from pacos.tracking import metrics
from sft.config import SFTConfig
from sft.data.tokenizer import stop_ids
from sft.engine.protocol import Engine
from sft.rank_context import RankContext
from sft.validation.heldout import Validation

if TYPE_CHECKING:
    from eval.inloop import TrainingSuite


LONGEST_SUITE_SECONDS = 7200.0
"""Seconds that the other ranks wait for rank 0 while it builds prompts or computes metrics; as long
as eval's own collectives wait (`eval.engine.rank_workers.RANK_TIMEOUT`)."""


class InLoopEvaluation:
    """The measurements during training. Every rank takes part."""

    def __init__(
        self,
        config: SFTConfig,
        validation: Validation,
        engine: Engine,
        tokenizer: Tokenizer,
        rank: RankContext,
    ) -> None:
        """Load the suite.

        Args:
            config: config of the run.
            validation: measures held-out rows.
            engine: the engine that trains the model.
            tokenizer: the model's tokenizer.
            rank: this rank.

        Raises:
            UserError: a task or its data cannot be loaded.
        """
        self._validation = validation
        self._stop = rank.stop
        self._every_steps = config.inloop.every_steps
        self._suite: TrainingSuite | None = None
        if config.inloop.suite is not None:
            # The one import from another stage. Here, because lm_eval takes seconds to import.
            from eval.inloop import ModelInTraining, TrainingSuite

            end_ids = stop_ids(config, tokenizer, engine.module)
            self._suite = TrainingSuite(
                config.inloop,
                ModelInTraining(engine, tokenizer, config.model.prompt_format, end_ids),
                rank.world,
                seed=config.seed,
                stop=rank.stop.during("suite", LONGEST_SUITE_SECONDS),
            )

    def measure(self, step: int, last: int) -> dict[str, float]:
        """Return what is due after a step (0: before the first) of a run of `last` steps.

        Raises:
            Stopped: on every rank; nothing of the measurement is kept.
        """
        measured = self._validation.measure(step, last)
        is_due = step in (0, last) or step % self._every_steps == 0
        if self._suite is not None and is_due:
            # Only rank 0 leaves by Stopped; the others return, and must follow it.
            with self._stop.agreed_after("suite"):
                scores = self._suite.scores()
            measured |= {f"{metrics.SUITE}/{name}": score for name, score in scores.items()}
        return measured
