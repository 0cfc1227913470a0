"""Config of HumanEval."""

from __future__ import annotations

from dataclasses import dataclass, field

from eval.configs.sandbox import SandboxConfig
from pacos.errors import Problem

TASK = "humaneval"
"""Name of the task, of its benchmark, and of its folder in the results."""


@dataclass(kw_only=True, slots=True)
class HumanEvalConfig:
    """How answers are drawn, and how the programs that they make are run.

    The paper draws 200 answers, at temperature 0.2 for pass@1 and 0.8 for pass@100.
    """

    samples: int = 1
    """Answers a problem; pass@k is given for each k of 1, 10 and 100 that they are enough for."""
    temperature: float = 0.0
    """Of the draws; 0 takes the likeliest token each time, so that one answer is all there is."""
    top_p: float = 0.95
    """Share of the likeliest tokens that are drawn from; 1 takes all."""
    max_tokens: int = 1024
    """Tokens of an answer; one that is cut off there mostly fails."""
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    def problems(self) -> list[Problem]:
        key = "humaneval"
        found = [
            Problem(f"{key}.{name}", value, "must be at least 1", "raise it")
            for name, value in (("samples", self.samples), ("max_tokens", self.max_tokens))
            if value < 1
        ]
        if self.temperature < 0:
            remedy = "0 takes the likeliest token"
            found.append(Problem(f"{key}.temperature", self.temperature, "is below 0", remedy))
        if not 0 < self.top_p <= 1:
            what, remedy = "must be above 0 and at most 1", "1 draws from all tokens"
            found.append(Problem(f"{key}.top_p", self.top_p, what, remedy))
        if self.samples > 1 and self.temperature == 0:
            what = "at temperature 0 all answers to a problem are the same"
            remedy = "set humaneval.temperature, such as 0.2 for pass@1 or 0.8 for pass@100"
            found.append(Problem(f"{key}.samples", self.samples, what, remedy))
        return found + self.sandbox.problems(f"{key}.sandbox")
