"""Config of a judge: a language model that scores texts."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem
from pacos.llm.config import EndpointConfig


@dataclass(kw_only=True, slots=True)
class JudgeConfig:
    """A language model that scores generated rows, or the answers of models."""

    endpoint: EndpointConfig | None = None
    """Service of the judge. Its model should be stronger than the one whose texts it scores. Null
    scores nothing."""

    def problems(self) -> list[Problem]:
        """Return all problems of the values."""
        return [] if self.endpoint is None else self.endpoint.problems("judge.endpoint")

    def missing_key(self) -> Problem | None:
        """Return a problem if the API key is needed and not in the environment."""
        return None if self.endpoint is None else self.endpoint.missing_key("judge.endpoint")
