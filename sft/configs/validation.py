"""Config of the measurements on held-out rows during training."""

from __future__ import annotations

from dataclasses import dataclass, field

from pacos.errors import Problem
from pacos.identity import FREE


@dataclass(kw_only=True, slots=True)
class ValidationConfig:
    """The held-out rows, and when they are measured."""

    rows: int = 0
    """Rows held out of training, drawn by the seed. Their loss is measured before the first step,
    every `every_steps` and after the last. With 0, all rows are trained on and nothing is
    measured."""
    every_steps: int = field(default=100, metadata=FREE)
    """Steps between measurements; each costs a forward pass over the held-out rows."""
    samples: int = field(default=2, metadata=FREE)
    """Held-out rows that the model also answers, greedily, into samples.jsonl. Under ZeRO-3 every
    token of an answer gathers all parameters; 0 saves that."""
    sample_tokens: int = field(default=128, metadata=FREE)
    """Tokens after which such an answer is cut off."""

    def problems(self) -> list[Problem]:
        least_values = {"rows": 0, "every_steps": 1, "samples": 0, "sample_tokens": 1}
        return [
            Problem(f"validation.{key}", value, f"must be at least {least}", "raise it")
            for key, least in least_values.items()
            if (value := getattr(self, key)) < least
        ]
