"""Config of the suite that sft runs during training; eval computes it."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.configs.suite import SuiteConfig
from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class InLoopConfig:
    """A suite scored on the weights in training, into metrics.jsonl; training does not change."""

    suite: SuiteConfig | None = None
    """The tasks, chosen by `suite@inloop.suite=NAME`; null scores none."""
    every_steps: int = 500
    """Steps between evaluations, beside those before the first and after the last step. Training
    waits for each."""
    limit: int | None = 100
    """Items per task; null takes all. Fewer are faster and noisier."""
    batch_size: int = 16
    """Answers that each rank generates at a time: memory against speed."""
    batch_tokens: int = 8192
    """Tokens of a forward pass that scores choices: memory against speed."""

    def problems(self) -> list[Problem]:
        return [
            Problem(f"inloop.{key}", value, "must be at least 1", "raise it")
            for key in ("every_steps", "limit", "batch_size", "batch_tokens")
            if (value := getattr(self, key)) is not None and value < 1
        ]
