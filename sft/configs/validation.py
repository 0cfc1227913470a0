"""Config of what is measured on held-out rows during training."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class ValidationConfig:
    """Rows that are not trained on, and when the model meets them."""

    rows: int = 0
    """Rows held out of training, drawn by the seed; their loss is measured before the first step,
    every `every_steps` and at the end. 0: all rows are trained on, and nothing is measured."""
    every_steps: int = 100
    """Steps between measurements; each costs a forward pass over the held-out rows."""
    samples: int = 2
    """How many held-out rows the model also answers, greedily, into samples.jsonl. Under ZeRO-3
    every token of an answer gathers all parameters; 0 saves that."""
    sample_tokens: int = 128
    """Tokens after which such an answer is cut."""

    def problems(self) -> list[Problem]:
        at_least = {"rows": 0, "every_steps": 1, "samples": 0, "sample_tokens": 1}
        return [
            Problem(f"validation.{key}", value, f"must be at least {least}", "raise it")
            for key, least in at_least.items()
            if (value := getattr(self, key)) < least
        ]
