"""Config of HumanEval."""

from __future__ import annotations

from dataclasses import dataclass, field

from eval.configs.sandbox import SandboxConfig
from pacos.errors import Problem

TASK = "humaneval"
"""Name of the task, of its benchmark, and of its folder in the results."""


@dataclass(kw_only=True, slots=True)
class HumanEvalConfig:
    """Sampling of answers, and limits of the programs that they make.

    The paper samples 200 answers per problem, at temperature 0.2 for pass@1 and 0.8 for pass@100.
    """

    samples: int = 1
    """Answers per problem. pass@k is reported for each k of 1, 10 and 100 up to this number."""
    temperature: float = 0.0
    """Sampling temperature; 0 is greedy decoding, which allows one answer per problem only."""
    top_p: float = 0.95
    """Nucleus sampling: probability mass of the tokens to sample from, above 0 and at most 1; 1
    samples from all tokens."""
    max_tokens: int = 1024
    """Longest answer in tokens. An answer cut off there usually fails its tests."""
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    def problems(self) -> list[Problem]:
        key = "humaneval"
        problems = [
            Problem(f"{key}.{name}", value, "must be at least 1", "raise it")
            for name, value in (("samples", self.samples), ("max_tokens", self.max_tokens))
            if value < 1
        ]
        if self.temperature < 0:
            remedy = "use 0 for greedy decoding"
            problems.append(Problem(f"{key}.temperature", self.temperature, "is negative", remedy))
        if not 0 < self.top_p <= 1:
            wrong, remedy = "must be above 0 and at most 1", "use 1 to sample from all tokens"
            problems.append(Problem(f"{key}.top_p", self.top_p, wrong, remedy))
        if self.samples > 1 and self.temperature == 0:
            wrong = "all answers to a problem are the same at temperature 0"
            remedy = "set humaneval.temperature, such as 0.2 for pass@1 or 0.8 for pass@100"
            problems.append(Problem(f"{key}.samples", self.samples, wrong, remedy))
        return problems + self.sandbox.problems(f"{key}.sandbox")
