"""Config of G-Eval: how answers are generated, and how a judge scores them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from eval.rubrics.rubric import RubricError, read_rubric
from pacos.configs.suite import SuiteConfig
from pacos.errors import Problem
from pacos.identity import FREE


class Scoring(Enum):
    """Source of the probabilities of scores."""

    auto = "auto"
    samples = "samples"


@dataclass(kw_only=True, slots=True)
class GEvalConfig:
    """Settings of answers and of judging; only those of answers are part of a run's identity."""

    temperature: float = 0.0
    """Sampling temperature of the models' answers; 0 is greedy decoding."""
    answer_tokens: int = 512
    """Longest answer in tokens."""
    scoring: Scoring = field(default=Scoring.auto, metadata=FREE)
    """`auto` asks the judge once at temperature 0 and weights scores by their token probabilities,
    or samples replies if the service returns none. `samples` always samples: use it for reasoning
    models, which return no probabilities and often accept no temperature but 1."""
    samples: int = field(default=20, metadata=FREE)
    """Replies per score at temperature 1, wherever replies are sampled. The cost of judging grows
    in proportion."""
    reply_tokens: int = field(default=64, metadata=FREE)
    """Longest reply with a score, in tokens. Models that reason before they answer need
    thousands."""
    rated: str | None = field(default=None, metadata=FREE)
    """Folder of human-rated texts, one RUBRIC.json per rubric (format: docs/geval.md). The judge
    scores them too, and its certificate reports how far it agrees with people. null: the agreement
    stays unknown, and the certificate says so."""

    def problems(self) -> list[Problem]:
        """Return what is wrong with the values."""
        lows = {"temperature": 0, "answer_tokens": 1, "samples": 1, "reply_tokens": 1}
        return [
            Problem(f"geval.{key}", getattr(self, key), f"must be at least {low}", "raise it")
            for key, low in lows.items()
            if getattr(self, key) < low
        ]

    def rated_files(self) -> dict[str, Path]:
        """Return the files of human-rated texts by the names of their rubrics."""
        if self.rated is None:
            return {}
        return {file.stem: file for file in sorted(Path(self.rated).expanduser().glob("*.json"))}

    def missing_files(self, suite: SuiteConfig) -> list[Problem]:
        """Return unreadable rubrics, and files of ratings that are missing or match no rubric."""
        problems = [
            problem
            for name in suite.rubrics
            if (problem := self._rubric_problem(name, suite.directory())) is not None
        ]
        rated = self.rated_files()
        if self.rated is not None and not rated:
            remedy = "give a folder with a file RUBRIC.json, as docs/geval.md describes"
            problems.append(Problem("geval.rated", self.rated, "has no .json files", remedy))
        for name in rated:
            if name not in suite.rubrics:
                wrong = f"its {name}.json belongs to no rubric of suite {suite.name}"
                remedy = f"rename it to one of: {', '.join(suite.rubrics)}"
                problems.append(Problem("geval.rated", self.rated, wrong, remedy))
        return problems

    def _rubric_problem(self, name: str, folder: Path) -> Problem | None:
        path = folder / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
            wrong, remedy = f"no {name}.yaml in {folder}", f"choose from: {known}"
            return Problem("suite.rubrics", name, wrong, remedy)
        try:
            rubric = read_rubric(path)
        except RubricError as error:
            return Problem("suite.rubrics", name, f"{path}: {error}", "see docs/geval.md")
        if rubric.prompts is None and name not in self.rated_files():
            wrong = "has no prompts, so models have nothing to answer"
            remedy = "add prompts to the file, or human-rated texts to geval.rated"
            return Problem("suite.rubrics", name, wrong, remedy)
        return None
