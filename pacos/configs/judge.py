"""Config of a judge: a language model that gives its opinion of texts."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem
from pacos.llm.config import EndpointConfig


@dataclass(kw_only=True, slots=True)
class JudgeConfig:
    """A language model that judges generated rows, or the answers of models."""

    endpoint: EndpointConfig | None = None
    """The service that is asked, best a stronger model than the one that wrote what it judges.
    Null: nothing is judged."""

    def problems(self) -> list[Problem]:
        """What is wrong with the values."""
        return [] if self.endpoint is None else self.endpoint.problems("judge.endpoint")

    def missing_key(self) -> Problem | None:
        """Its API key, if the environment has none."""
        return None if self.endpoint is None else self.endpoint.missing_key("judge.endpoint")
