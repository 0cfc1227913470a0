"""Config of the judge of rows."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem
from pacos.llm.config import EndpointConfig

LOWEST, HIGHEST = 1, 10
"""Of quality scores."""


@dataclass(kw_only=True, slots=True)
class JudgeConfig:
    """A language model that judges rows."""

    endpoint: EndpointConfig | None = None
    """The service that is asked, best a stronger model than the teacher. Null: rows are not
    judged."""
    min_quality: int = 6
    """Lowest score, of 1 to 10, that a row may have: 6 is useful with a small omission."""
    safety: bool = True
    """Whether it is asked for safety too, in a request of its own."""

    def problems(self) -> list[Problem]:
        """What is wrong with the values."""
        found = []
        if not LOWEST <= self.min_quality <= HIGHEST:
            what = f"scores go from {LOWEST} to {HIGHEST}"
            found.append(Problem("judge.min_quality", self.min_quality, what, "choose one of them"))
        return [*found, *(self.endpoint.problems("judge.endpoint") if self.endpoint else ())]
