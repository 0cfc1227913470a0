"""Texts that people rated: what a judge is tested on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.geval.judge.judge_prompts import Text
from eval.rubrics.rubric import Rubric
from pacos.errors import UserError


@dataclass(frozen=True, slots=True)
class RatedText:
    """A text with what people gave it."""

    document: str
    """What texts of several systems have in common."""
    system: str
    text: Text
    ratings: Mapping[str, float]
    """Mean rating by criterion, on any scale."""


def read_rated(path: Path, rubric: Rubric, limit: int | None) -> list[RatedText]:
    """Read a JSON list in UniEval's form, of which the rubric's criteria are kept.

    A record has `source`, `system_output` and `scores`, by name of the criterion; and, where there
    are such, `system_id`, `doc_id` and `context`.

    Raises:
        UserError: the file has another form, or no criterion in common with the rubric.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        texts = [_rated(record, rubric) for record in records]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"geval.rated: {path}: not a JSON list of objects with source, "
            f"system_output and scores ({error!r}); docs/geval.md shows one"
        ) from error
    if not any(text.ratings for text in texts):
        criteria = ", ".join(criterion.name for criterion in rubric.criteria)
        raise UserError(
            f"geval.rated: {path}: its scores have none of the rubric's criteria "
            f"({criteria}); rename them in one of the two"
        )
    kept = set(list(dict.fromkeys(text.document for text in texts))[:limit])
    return [text for text in texts if text.document in kept]


def _rated(record: Mapping[str, Any], rubric: Rubric) -> RatedText:
    names = [criterion.name for criterion in rubric.criteria]
    source, output, context = record["source"], record["system_output"], record.get("context", "")
    return RatedText(
        document=str(record.get("doc_id", source)),
        system=str(record.get("system_id", "")),
        text=Text(source.strip(), output.strip(), context.strip()),
        ratings={name: float(record["scores"][name]) for name in names if name in record["scores"]},
    )
