"""Config of G-Eval: how answers are drawn, and how a judge is asked about them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

from eval.rubrics.rubric import RubricError, read_rubric
from pacos.configs.suite import SuiteConfig
from pacos.errors import Problem


class Scoring(Enum):
    """Where the probabilities of scores come from."""

    auto = "auto"
    samples = "samples"


@dataclass(kw_only=True, slots=True)
class GEvalConfig:
    """How rubrics are used. All but the answers' own settings may change between two lives."""

    FREE: ClassVar[tuple[str, ...]] = ("scoring", "samples", "reply_tokens", "rated")

    temperature: float = 0.0
    """Of the models' answers; 0 takes the likeliest token each time."""
    answer_tokens: int = 512
    """Longest answer, in tokens."""
    scoring: Scoring = Scoring.auto
    """`auto` asks once at temperature 0 and weighs the scores by the probabilities of their tokens,
    and draws samples where the service gives none; `samples` always draws, as reasoning models
    need, which give no probabilities and know no temperature but 1."""
    samples: int = 20
    """Replies drawn at temperature 1 for each score, where they are drawn."""
    reply_tokens: int = 64
    """Longest reply with a score. A model that reasons first needs thousands."""
    rated: str | None = None
    """Folder of texts that people rated, RUBRIC.json each (docs/geval.md): the judge rates them
    too, and how far it agrees with people is told with its scores. Null: that is not known."""

    def problems(self) -> list[Problem]:
        """What is wrong with the values."""
        lows = {"temperature": 0, "answer_tokens": 1, "samples": 1, "reply_tokens": 1}
        return [
            Problem(f"geval.{key}", getattr(self, key), f"must be at least {low}", "raise it")
            for key, low in lows.items()
            if getattr(self, key) < low
        ]

    def rated_files(self) -> dict[str, Path]:
        """The files of rated texts by the names of their rubrics."""
        if self.rated is None:
            return {}
        return {file.stem: file for file in sorted(Path(self.rated).expanduser().glob("*.json"))}

    def missing_files(self, suite: SuiteConfig) -> list[Problem]:
        """Rubrics that cannot be read, and files of ratings that are not there."""
        found = [
            problem
            for name in suite.rubrics
            if (problem := self._rubric_problem(name, suite.directory())) is not None
        ]
        rated = self.rated_files()
        if self.rated is not None and not rated:
            remedy = "give a folder with a file RUBRIC.json, as docs/geval.md says"
            found.append(Problem("geval.rated", self.rated, "has no .json files", remedy))
        for name in rated:
            if name not in suite.rubrics:
                what = f"{name}.json there belongs to no rubric of suite {suite.name}"
                remedy = f"call it one of: {', '.join(suite.rubrics)}"
                found.append(Problem("geval.rated", self.rated, what, remedy))
        return found

    def _rubric_problem(self, name: str, folder: Path) -> Problem | None:
        path = folder / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
            what, remedy = f"no {name}.yaml in {folder}", f"the folder has: {known}"
            return Problem("suite.rubrics", name, what, remedy)
        try:
            rubric = read_rubric(path)
        except RubricError as error:
            return Problem("suite.rubrics", name, f"{path}: {error}", "see docs/geval.md")
        if rubric.prompts is None and name not in self.rated_files():
            what = "has no prompts, so that models have nothing to answer"
            remedy = "add prompts to the file, or texts that people rated to geval.rated"
            return Problem("suite.rubrics", name, what, remedy)
        return None
