"""Config of the measurements on held-out rows during training."""

from __future__ import annotations

from dataclasses import dataclass, field

from pacos.data.layout import LocationError
from pacos.data.location import locate
from pacos.errors import Problem
from pacos.identity import FREE


@dataclass(kw_only=True, slots=True)
class ValidationConfig:
    """The held-out rows, and when they are measured."""

    rows: int = 0
    """Rows held out of training, drawn by the seed. Rows with equal tokens count as one, whichever
    sources they come from, and a conversation with an example per answer is held out whole. The
    loss is measured before the first step, every `every_steps` and after the last. With 0, all rows
    are trained on and nothing is measured, unless there is a `path`."""
    path: str | None = None
    """Held-out rows from a source of their own, as for data.path, read with data.columns, roles,
    ignore, raw and tree. `rows` are drawn from it, or with 0 all are taken; rows that are also
    trained on are left out and counted at the start."""
    every_steps: int = field(default=100, metadata=FREE)
    """Steps between measurements; each costs a forward pass over the held-out rows."""
    samples: int = field(default=2, metadata=FREE)
    """Held-out rows that the model also answers, greedily, into samples.jsonl. Under ZeRO-3 every
    token of an answer gathers all parameters; 0 saves that."""
    sample_tokens: int = field(default=128, metadata=FREE)
    """Tokens after which such an answer is cut off."""

    @property
    def is_on(self) -> bool:
        """True if anything is held out and measured."""
        return self.rows > 0 or self.path is not None

    def problems(self) -> list[Problem]:
        least_values = {"rows": 0, "every_steps": 1, "samples": 0, "sample_tokens": 1}
        return [
            Problem(f"validation.{key}", value, f"must be at least {least}", "raise it")
            for key, least in least_values.items()
            if (value := getattr(self, key)) < least
        ]

    def missing_files(self) -> list[Problem]:
        try:
            if self.path is not None:
                locate(self.path)
        except LocationError as error:
            return [Problem("validation.path", self.path, error.fault, error.remedy)]
        return []
