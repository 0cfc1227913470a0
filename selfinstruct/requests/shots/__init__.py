"""The worked examples that open the prompts of Self-Instruct's later steps, in each language.

They tell a teacher without instruction tuning what is wanted: whether a task is a classification,
and what its instances look like. There are as many as in Self-Instruct's prompts
(arXiv:2212.10560). None of them is a seed task, and all are written for pacos but three lines of
classical sijo, which are in the public domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pacos.errors import UserError
from pacos.files import read_jsonl

FOLDER = Path(__file__).parent
LANGUAGES = tuple(sorted(path.parent.name for path in FOLDER.glob("*/classification.jsonl")))
"""Languages that have worked examples, as ISO 639-1 codes."""


@dataclass(frozen=True, slots=True)
class ClassificationShot:
    """An instruction, and whether its answers are the labels of a finite set."""

    instruction: str
    is_classification: bool


@dataclass(frozen=True, slots=True)
class LabelledInput:
    """An instance of a classification task, written label first."""

    label: str
    """One line; no two instances of a task have the same."""
    input: str
    """Never empty."""


@dataclass(frozen=True, slots=True)
class OutputFirstShot:
    """A classification task with inputs made to fit its labels, which keeps the labels balanced."""

    instruction: str
    instances: tuple[LabelledInput, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """What a task is done to, and the answer."""

    input: str
    """Empty where the instruction needs none; the task then has this instance alone."""
    output: str


@dataclass(frozen=True, slots=True)
class InputFirstShot:
    """A task that is no classification, with correct answers."""

    instruction: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Shots:
    """The worked examples of one language, in the order in which prompts show them."""

    classification: tuple[ClassificationShot, ...]
    """31, of which 12 are classifications, well mixed."""
    output_first: tuple[OutputFirstShot, ...]
    """16 tasks with 34 labelled inputs together."""
    input_first: tuple[InputFirstShot, ...]
    """11 tasks with 1 to 3 instances each, some of them without input."""


@cache
def load(lang: str) -> Shots:
    """The worked examples of a language.

    Raises:
        UserError: there are none in this language.
    """
    if lang not in LANGUAGES:
        raise UserError(
            f"language = {lang}: no worked examples in this language; "
            f"choose one of {', '.join(LANGUAGES)}"
        )
    return Shots(
        classification=tuple(
            ClassificationShot(**record) for record in _records(lang, "classification")
        ),
        output_first=tuple(
            OutputFirstShot(
                record["instruction"],
                tuple(LabelledInput(**instance) for instance in record["instances"]),
            )
            for record in _records(lang, "output_first")
        ),
        input_first=tuple(
            InputFirstShot(
                record["instruction"],
                tuple(Instance(**instance) for instance in record["instances"]),
            )
            for record in _records(lang, "input_first")
        ),
    )


def _records(lang: str, step: str) -> list[dict[str, Any]]:
    return list(read_jsonl(FOLDER / lang / f"{step}.jsonl"))
