"""Rubrics: the criteria for one kind of text, as a YAML file with its prompts beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pacos.configs.suite import SuiteConfig
from pacos.files import atomic_write

LANGS = ("en", "ko")
"""Languages that the judge can be prompted in."""

TEXT_FIELDS = {
    "lang": True,
    "introduction": True,
    "source": True,
    "output": True,
    "context": False,
    "prompts": False,
}
"""String fields of a rubric, and whether each is required."""

CRITERION_FIELDS = {"definition": True, "scale": True, "label": False, "steps": False}
"""Fields of a criterion, and whether each is required."""


class RubricError(Exception):
    """An unusable rubric; the message names each key, what is wrong, and the remedy."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One aspect that a text is scored on."""

    name: str
    label: str
    """The name shown to the judge."""
    definition: str
    low: int
    """Lowest score, a single digit."""
    high: int
    """Highest score, a single digit."""
    steps: str | None = None
    """Evaluation steps; None: the judge writes them once per run."""

    def share(self, score: float) -> float:
        """Map a score to 0…1 of its scale, so that scores on different scales can be averaged."""
        return (score - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Rubric:
    """Everything the judge is told about one kind of text."""

    name: str
    lang: str
    introduction: str
    source: str
    """Heading of the text that the output answers."""
    output: str
    """Heading of the text to be judged."""
    criteria: tuple[Criterion, ...]
    context: str = ""
    """Heading of a fact that the output may use; empty if prompts have no context."""
    prompts: Path | None = None
    """JSONL file of prompts for the models; None for a rubric that only judges human-rated
    texts."""

    def criterion(self, name: str) -> Criterion:
        """Return the criterion of that name."""
        return next(criterion for criterion in self.criteria if criterion.name == name)

    def criteria_without_steps(self) -> list[Criterion]:
        """Return the criteria whose evaluation steps the judge has to write."""
        return [criterion for criterion in self.criteria if criterion.steps is None]

    def with_steps(self, steps: Mapping[str, str]) -> Rubric:
        """Return the rubric with evaluation steps for the named criteria."""
        filled = [
            replace(criterion, steps=steps.get(criterion.name, criterion.steps))
            for criterion in self.criteria
        ]
        return replace(self, criteria=tuple(filled))


def read_rubrics(suite: SuiteConfig) -> list[Rubric]:
    """Read the rubrics of a suite, which `GEvalConfig.missing_files` has validated."""
    return [read_rubric(suite.directory() / f"{name}.yaml") for name in suite.rubrics]


def read_rubric(path: Path) -> Rubric:
    """Read a rubric.

    Raises:
        RubricError: the file is unreadable or invalid; all problems are reported at once.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise RubricError(f"cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RubricError("contains no keys; start from a copy of a rubric shipped with pacos")
    problems = list(_problems(values))
    prompts = values.get("prompts")
    if isinstance(prompts, str) and not (path.parent / prompts).is_file():
        file = path.parent / prompts
        problems.append(f"prompts = {prompts}: no file {file}; create it, or correct the name")
    if problems:
        raise RubricError("; and ".join(problems))
    return Rubric(
        name=path.stem,
        lang=values["lang"],
        introduction=values["introduction"].strip(),
        source=values["source"],
        output=values["output"],
        context=values.get("context", ""),
        criteria=tuple(_criterion(name, fields) for name, fields in values["criteria"].items()),
        # Absolute: prompts are read later, when the working directory may be another.
        prompts=None if prompts is None else path.parent.absolute() / prompts,
    )


def _criterion(name: str, fields: Mapping[str, Any]) -> Criterion:
    steps = fields.get("steps")
    return Criterion(
        name=name,
        label=fields.get("label", name.replace("_", " ").capitalize()),
        definition=fields["definition"].strip(),
        low=fields["scale"][0],
        high=fields["scale"][1],
        steps=None if steps is None else steps.strip(),
    )


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _field_problems(values, {**TEXT_FIELDS, "criteria": True}, "")
    lang = values.get("lang")
    if isinstance(lang, str) and lang not in LANGS:
        yield f"lang = {lang}: the judge cannot be prompted in it; choose one of {', '.join(LANGS)}"
    criteria = values.get("criteria")
    if criteria is None:
        return
    if not isinstance(criteria, dict) or not criteria:
        yield "criteria: is empty; write NAME: {definition: …, scale: [1, 5]}"
        return
    for name, fields in criteria.items():
        key = f"criteria.{name}"
        if not isinstance(fields, dict):
            yield f"{key} = {fields}: has no keys; give it a definition and a scale"
            continue
        yield from _field_problems(fields, CRITERION_FIELDS, f"{key}.")
        if "scale" in fields and not _is_scale(fields["scale"]):
            yield (
                f"{key}.scale = {fields['scale']}: must be two integers from 0 to 9, the lower "
                "first, because a two-digit score is more than one token; write scale: [1, 5]"
            )


def _field_problems(
    values: Mapping[str, Any], fields: Mapping[str, bool], prefix: str
) -> Iterator[str]:
    for key in values:
        if key not in fields:
            yield f"{prefix}{key}: no such key; use one of {', '.join(fields)}"
    for key, required in fields.items():
        if key not in values:
            if required:
                yield f"{prefix}{key}: is missing; add it"
        elif key not in ("scale", "criteria") and (
            not isinstance(values[key], str) or not values[key].strip()
        ):
            yield (
                f"{prefix}{key} = {values[key]!r}: must be a non-empty string; write one, or "
                "remove the key"
            )


def _is_scale(scale: Any) -> bool:
    is_pair = isinstance(scale, list) and len(scale) == 2
    return (
        is_pair
        # `type(…) is int`: YAML's true and false are ints too.
        and all(type(end) is int and 0 <= end <= 9 for end in scale)
        and (scale[0] < scale[1])
    )


def write_rubric(rubric: Rubric, folder: Path) -> Path:
    """Write a rubric and its prompts so that `read_rubric` can read them, and return the file.

    The folder is self-contained: with `suite.folder` set to it, later runs are judged by the same
    evaluation steps, even on another machine.
    """
    texts = {key: getattr(rubric, key) for key in TEXT_FIELDS if key != "prompts"}
    values = {
        **{key: text for key, text in texts.items() if text},
        "criteria": {
            criterion.name: {
                "label": criterion.label,
                "scale": [criterion.low, criterion.high],
                "definition": criterion.definition,
                **({} if criterion.steps is None else {"steps": criterion.steps}),
            }
            for criterion in rubric.criteria
        },
    }
    if rubric.prompts is not None:
        values["prompts"] = f"{rubric.name}.prompts.jsonl"
        atomic_write(folder / values["prompts"], rubric.prompts.read_text(encoding="utf-8"))
    path = folder / f"{rubric.name}.yaml"
    # People read and edit these files: Korean stays readable, and keys keep their order.
    atomic_write(path, yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=100))
    return path
