"""Config of a suite that the model meets while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.configs.suite import SuiteConfig
from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class InLoopConfig:
    """A suite on the weights in training; figures go into metrics.jsonl. Training is the same."""

    suite: SuiteConfig | None = None
    """The tasks, by `suite@inloop.suite=NAME`; null: none are measured."""
    every_steps: int = 500
    """Steps between measurements; there is one before the first step and one at the end as well."""
    limit: int | None = 100
    """Items a task; null takes all."""
    batch_size: int = 16
    """Answers that each rank generates at the same time."""
    batch_tokens: int = 8192
    """Tokens of a forward pass where choices are scored."""

    def problems(self) -> list[Problem]:
        """What is wrong with the values."""
        return [
            Problem(f"inloop.{key}", value, "must be at least 1", "raise it")
            for key in ("every_steps", "limit", "batch_size", "batch_tokens")
            if (value := getattr(self, key)) is not None and value < 1
        ]
