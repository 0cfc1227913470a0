"""A rubric: what texts of one kind are judged on, as a YAML file with its prompts beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pacos.files import atomic_write

LANGS = ("en", "ko")
"""Languages that the judge is spoken to in."""

WORDS = {
    "lang": True,
    "introduction": True,
    "source": True,
    "output": True,
    "context": False,
    "prompts": False,
}
"""Text fields of a rubric, and whether each is needed."""

OF_CRITERION = {"definition": True, "scale": True, "label": False, "steps": False}
"""Fields of a criterion, and whether each is needed."""


class RubricError(Exception):
    """A rubric that cannot be used: which key, what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that a text is scored on."""

    name: str
    label: str
    """Name that the judge sees."""
    definition: str
    low: int
    high: int
    """Ends of the scale, single digits."""
    steps: str | None = None
    """Evaluation steps; None: the judge writes them once."""

    def share(self, score: float) -> float:
        """A score as a share of the scale, 0 to 1, so that scores of any scale can be averaged."""
        return (score - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Rubric:
    """Everything that the judge is told about one kind of text."""

    name: str
    lang: str
    introduction: str
    source: str
    """Heading of what the text answers."""
    output: str
    """Heading of the text that is judged."""
    criteria: tuple[Criterion, ...]
    context: str = ""
    """Heading of a fact that the text may use; empty where there is none."""
    prompts: Path | None = None
    """JSONL file of what models are asked; None for a rubric that only judges given texts."""

    def criterion(self, name: str) -> Criterion:
        return next(criterion for criterion in self.criteria if criterion.name == name)

    def lacking_steps(self) -> list[Criterion]:
        """The criteria whose evaluation steps a judge has to write."""
        return [criterion for criterion in self.criteria if criterion.steps is None]

    def with_steps(self, steps: Mapping[str, str]) -> Rubric:
        """The rubric with evaluation steps for the criteria named."""
        filled = [
            replace(criterion, steps=steps.get(criterion.name, criterion.steps))
            for criterion in self.criteria
        ]
        return replace(self, criteria=tuple(filled))


def read_rubric(path: Path) -> Rubric:
    """Read a rubric.

    Raises:
        RubricError: with everything wrong in the file, a line each.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise RubricError(f"cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RubricError("holds no keys; begin with a copy of a rubric that comes with pacos")
    wrong = list(_problems(values))
    prompts = values.get("prompts")
    if isinstance(prompts, str) and not (path.parent / prompts).is_file():
        where = path.parent / prompts
        wrong.append(f"prompts = {prompts}: no file {where}; put it there, or correct its name")
    if wrong:
        raise RubricError("; and ".join(wrong))
    return Rubric(
        name=path.stem,
        lang=values["lang"],
        introduction=values["introduction"].strip(),
        source=values["source"],
        output=values["output"],
        context=values.get("context", ""),
        criteria=tuple(_criterion(name, given) for name, given in values["criteria"].items()),
        prompts=None if prompts is None else path.parent.absolute() / prompts,
    )


def _criterion(name: str, given: Mapping[str, Any]) -> Criterion:
    steps = given.get("steps")
    return Criterion(
        name=name,
        label=given.get("label", name.replace("_", " ").capitalize()),
        definition=given["definition"].strip(),
        low=given["scale"][0],
        high=given["scale"][1],
        steps=None if steps is None else steps.strip(),
    )


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _field_problems(values, {**WORDS, "criteria": True}, "")
    lang = values.get("lang")
    if isinstance(lang, str) and lang not in LANGS:
        yield f"lang = {lang}: not a language of the judge's form; choose one of {', '.join(LANGS)}"
    criteria = values.get("criteria")
    if criteria is None:
        return
    if not isinstance(criteria, dict) or not criteria:
        yield "criteria: holds none; write NAME: {definition: …, scale: [1, 5]}"
        return
    for name, given in criteria.items():
        at = f"criteria.{name}"
        if not isinstance(given, dict):
            yield f"{at} = {given}: has no keys; give it definition and scale"
            continue
        yield from _field_problems(given, OF_CRITERION, f"{at}.")
        if "scale" in given and not _is_scale(given["scale"]):
            yield (
                f"{at}.scale = {given['scale']}: must be two whole numbers from 0 to 9, the lower "
                "first, because a score of two digits is more than one token; write scale: [1, 5]"
            )


def _field_problems(
    values: Mapping[str, Any], fields: Mapping[str, bool], at: str
) -> Iterator[str]:
    for key in values:
        if key not in fields:
            yield f"{at}{key}: no such key; use one of {', '.join(fields)}"
    for key, needed in fields.items():
        if key not in values:
            if needed:
                yield f"{at}{key}: is missing; add it"
        elif key not in ("scale", "criteria") and (
            not isinstance(values[key], str) or not values[key].strip()
        ):
            yield f"{at}{key} = {values[key]!r}: must be a text; write one, or remove the key"


def _is_scale(scale: Any) -> bool:
    is_pair = isinstance(scale, list) and len(scale) == 2
    return (
        is_pair
        and all(type(end) is int and 0 <= end <= 9 for end in scale)
        and (scale[0] < scale[1])
    )


def write_rubric(rubric: Rubric, folder: Path) -> Path:
    """Write a rubric, with its prompts beside it, so that it can be read again; returns its file.

    A rubric whose steps a judge wrote is kept this way: with `suite.folder` set to the folder,
    later runs are judged by the same steps, on whatever machine the folder is by then.
    """
    words = {key: getattr(rubric, key) for key in WORDS if key != "prompts"}
    values = {
        **{key: text for key, text in words.items() if text},
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
    atomic_write(path, yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=100))
    return path
