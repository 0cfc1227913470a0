"""Human-rated texts: the judge scores them too, which shows how far it agrees with people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.geval.judge.judge_prompts import JudgedText
from eval.rubrics.rubric import Rubric
from pacos.errors import UserError


@dataclass(frozen=True, slots=True)
class HumanRatedText:
    """A text with its human ratings."""

    document: str
    """Id of the source: equal for the outputs of several systems for one source."""
    system: str
    text: JudgedText
    ratings: Mapping[str, float]
    """Mean human rating by criterion, on any scale: only correlations are computed from it."""


def read_human_ratings(path: Path, rubric: Rubric, limit: int | None) -> list[HumanRatedText]:
    """Read a JSON list in UniEval's format, keeping the ratings of the rubric's criteria.

    A record has `source`, `system_output` and `scores` (by name of the criterion), and optionally
    `system_id`, `doc_id` and `context`.

    Args:
        path: the file, RUBRIC.json.
        rubric: names the criteria to keep.
        limit: number of documents; None for all.

    Raises:
        UserError: the file has another format, or shares no criterion with the rubric.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        texts = [_rated_text(record, rubric) for record in records]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"geval.rated: {path}: is not a JSON list of objects with source, "
            f"system_output and scores ({error!r}); see the example in docs/geval.md"
        ) from error
    if not any(text.ratings for text in texts):
        criteria = ", ".join(criterion.name for criterion in rubric.criteria)
        raise UserError(
            f"geval.rated: {path}: its scores match none of the rubric's criteria "
            f"({criteria}); rename one side"
        )
    # Whole documents are kept: correlations within a document need all its systems.
    kept = set(list(dict.fromkeys(text.document for text in texts))[:limit])
    return [text for text in texts if text.document in kept]


def _rated_text(record: Mapping[str, Any], rubric: Rubric) -> HumanRatedText:
    names = [criterion.name for criterion in rubric.criteria]
    source, output, context = record["source"], record["system_output"], record.get("context", "")
    return HumanRatedText(
        document=str(record.get("doc_id", source)),
        system=str(record.get("system_id", "")),
        text=JudgedText(source.strip(), output.strip(), context.strip()),
        ratings={name: float(record["scores"][name]) for name in names if name in record["scores"]},
    )
