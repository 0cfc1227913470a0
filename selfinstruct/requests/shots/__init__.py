"""Few-shot examples of Self-Instruct's later steps, per language.

They show a generator without instruction tuning what is wanted: whether a task is a classification,
and what instances look like. Their number is that of Self-Instruct's prompts (arXiv:2212.10560).
None is a seed task. All are written for pacos, except three lines of classical sijo, which are in
the public domain.
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
"""ISO 639-1 codes of the languages that have examples."""


@dataclass(frozen=True, slots=True)
class ClassificationShot:
    """An instruction, and whether its answers come from a finite set of labels."""

    instruction: str
    is_classification: bool


@dataclass(frozen=True, slots=True)
class LabelledInput:
    """An instance of a classification task, written label first."""

    label: str
    """One line; unique among the instances of a task."""
    input: str
    """Never empty."""


@dataclass(frozen=True, slots=True)
class OutputFirstShot:
    """A classification task with inputs written for given labels, which balances the labels."""

    instruction: str
    instances: tuple[LabelledInput, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """An input and its output."""

    input: str
    """Empty if the instruction needs none; the task then has only this instance."""
    output: str


@dataclass(frozen=True, slots=True)
class InputFirstShot:
    """Any other task, with instances."""

    instruction: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Shots:
    """The examples of one language, in the order of the prompts."""

    classification: tuple[ClassificationShot, ...]
    """31 instructions, 12 of them classifications, in mixed order."""
    output_first: tuple[OutputFirstShot, ...]
    """16 tasks with 34 labelled inputs in total."""
    input_first: tuple[InputFirstShot, ...]
    """11 tasks with 1 to 3 instances each, some without an input."""


@cache
def load_shots(lang: str) -> Shots:
    """Return the examples of a language.

    Raises:
        UserError: there are none in this language.
    """
    if lang not in LANGUAGES:
        raise UserError(
            f"language = {lang}: no few-shot examples in this language; "
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
