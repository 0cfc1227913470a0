"""A suite of tasks every so many steps, beside the held-out rows: eval's part of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pacos import metrics
from pacos.distributed import World
from sft.config import SFTConfig
from sft.export import stop_ids
from sft.validation import Validation

if TYPE_CHECKING:
    from eval.in_training import TrainingSuite


class InLoop:
    """What is measured while the model trains: held-out rows, and a suite if there is one."""

    def __init__(
        self, config: SFTConfig, validation: Validation, engine: Any, tokenizer: Any, world: World
    ) -> None:
        """Load the suite.

        Args:
            config: of the run.
            validation: held-out rows.
            engine: of DeepSpeed.
            tokenizer: of the model.
            world: this rank.

        Raises:
            UserError: a task or its data cannot be loaded.
        """
        self._validation = validation
        self._every_steps = config.inloop.every_steps
        self._suite: TrainingSuite | None = None
        if config.inloop.suite is not None:
            from eval.in_training import TrainingSuite

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
            )

    def at(self, step: int, last: int) -> dict[str, float]:
        """What is measured after a step (0: before the first) of a run of `last` steps."""
        measured = self._validation.at(step, last)
        due = step in (0, last) or step % self._every_steps == 0
        if self._suite is not None and due:
            scores = self._suite.scores()
            measured |= {f"{metrics.SUITE}/{name}": score for name, score in scores.items()}
        return measured
