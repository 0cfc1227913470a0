"""Which items of a suite the model's own training data give away, and the scores without them.

The search is that of data generation (docs/decontamination.md): a row that it would have kept out
flags an item here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from eval.findings.compare import item_docs, item_values, paired
from eval.findings.standard_error import PASSAGES, clusters_of
from eval.findings.training_rows import TrainingRow, identity, training_rows
from eval.harness.results import SuiteResult, is_score, metric_name
from pacos.benchmarks.items import CodeProblem, Item, MultipleChoice, OpenQuestion, SentencePair
from pacos.contamination.index import ContaminationIndex
from pacos.data.sources import Source

TOGETHER = 2000
"""Rows that are searched at once."""

QUESTIONS = ("question", "query", "prompt", "problem", "instruction", "goal", "ctx", "sentence")
"""Fields of documents that ask something, the first that is there."""

CHOICES = ("choices", "endings", "options", "mc1_targets")
CHOICE = re.compile(r"(?:ans|answer|choice|option|sol|ending)_?\d|[A-E]")
"""Fields that hold choices: lists of them, or one each."""

ANSWERS = ("answer", "answers", "solution", "output", "best_answer", "correct_answers")


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that gives an item away."""

    row: str
    """Where the row is."""
    sign: str
    """13-gram, whole, 8-gram or code."""
    score: float
    words: str

    def to_json(self) -> dict[str, Any]:
        return {"row": self.row, "sign": self.sign, "score": self.score, "words": self.words}


Leaks = Mapping[str, Mapping[int, list[Leak]]]
"""By task and number of the document."""


def report_contamination(
    results: Mapping[str, SuiteResult], sources: Sequence[Source], seed: int
) -> dict[str, Any]:
    """The content of contamination.json.

    Args:
        results: of each model on the same items.
        sources: what the target was trained on.
        seed: of the bootstrap.
    """
    target = results["target"]
    rows = chain.from_iterable(map(training_rows, sources))
    leaks, count = find_leaks(target, rows)
    items = sum(len({line["doc_id"] for line in lines}) for lines in target.samples.values())
    return {
        "training_data": [identity(source) for source in sources],
        "rows": count,
        "items": items,
        "flagged": sum(map(len, leaks.values())),
        "leaks": {
            task: {number: [leak.to_json() for leak in found] for number, found in of_task.items()}
            for task, of_task in leaks.items()
        },
        "scores": {label: clean_scores(result, leaks, seed) for label, result in results.items()},
    }


def in_words(report: Mapping[str, Any]) -> list[str]:
    """What a person has to know of a report, in lines."""
    lines = [
        f"contamination: {report['flagged']} of {report['items']} items are given away by the "
        f"{report['rows']} rows of the target's training data"
    ]
    for name, found in report["scores"]["target"].items():
        if found["flagged"] and found["clean"] is not None:
            difference = found["clean"] - found["all"]
            lines.append(
                f"  {name}: {found['all']:.3f} on all, {found['clean']:.3f} ({difference:+.3f}) "
                f"without the {found['flagged']}"
            )
    return lines


def find_leaks(result: SuiteResult, rows: Iterable[TrainingRow]) -> tuple[Leaks, int]:
    """Search rows for the items of a suite; returns what they give away, and their number.

    Args:
        result: of the harness, which holds each item's document.
        rows: of the training data.
    """
    docs = {
        task: {line["doc_id"]: line["doc"] for line in lines}
        for task, lines in result.samples.items()
    }
    items = [
        item
        for task, of_task in docs.items()
        for number, doc in of_task.items()
        if (item := item_of(task, str(number), doc)) is not None
    ]
    index = ContaminationIndex(items)
    found: dict[str, dict[int, list[Leak]]] = defaultdict(lambda: defaultdict(list))
    count, waiting = 0, iter(rows)
    while some := list(islice(waiting, TOGETHER)):
        count += len(some)
        for row, overlaps in zip(some, index.overlaps(some), strict=True):
            for overlap in overlaps:
                leak = Leak(row.place, overlap.kind.value, round(overlap.score, 3), overlap.words)
                found[overlap.benchmark][int(overlap.item)].append(leak)
    return found, count


def item_of(task: str, number: str, doc: Mapping[str, Any]) -> Item | None:
    """What a document asks, as the search takes it; None where it is of no known form."""
    facts = {"benchmark": task, "id": number}
    if "sent_more" in doc and "sent_less" in doc:
        return SentencePair(**facts, stereotypical=doc["sent_more"], other=doc["sent_less"])
    if "canonical_solution" in doc and "prompt" in doc:
        return CodeProblem(
            **facts,
            prompt=doc["prompt"],
            solution=doc["canonical_solution"],
            tests=str(doc.get("test", "")),
            entry_point=str(doc.get("entry_point", "")),
        )
    question = next((doc[name] for name in QUESTIONS if isinstance(doc.get(name), str)), None)
    if not question:
        return None
    passage = next((doc[name] for name in PASSAGES if isinstance(doc.get(name), str)), "")
    choices = tuple(_choices(doc))
    if choices:
        return MultipleChoice(
            **facts, question=question, choices=choices, answers=(), context=passage
        )
    return OpenQuestion(**facts, question=question, answers=tuple(_answers(doc)), context=passage)


def _choices(doc: Mapping[str, Any]) -> Iterator[str]:
    for name in CHOICES:
        value = doc.get(name)
        if isinstance(value, Mapping):
            value = value.get("choices", value.get("text"))
        if isinstance(value, Sequence) and not isinstance(value, str):
            yield from (text for text in value if isinstance(text, str))
            return
    yield from (
        value for name, value in doc.items() if CHOICE.fullmatch(name) and isinstance(value, str)
    )


def _answers(doc: Mapping[str, Any]) -> Iterator[str]:
    for name in ANSWERS:
        value = doc.get(name)
        for text in [value] if isinstance(value, str) else value or ():
            if isinstance(text, str) and text.strip():
                yield text


def clean_scores(result: SuiteResult, leaks: Leaks, seed: int) -> dict[str, dict[str, Any]]:
    """Each metric that is a mean over items: on all of them, and on those that nothing gives away.

    Args:
        result: of one model.
        leaks: of the same items.
        seed: of the bootstrap.
    """
    found = {}
    for task, lines in result.samples.items():
        for key in filter(is_score, result.results["results"][task]):
            values = item_values(result, task, key)
            if values is None:
                continue
            used = key.partition(",")[2]
            numbers = [line["doc_id"] for line in lines if line["filter"] == used]
            clean = np.array([number not in leaks.get(task, {}) for number in numbers])
            name = f"{task}/{metric_name(result, task, key)}"
            found[name] = {
                "items": len(values),
                "flagged": int((~clean).sum()),
                "all": float(values.mean()),
                "clean": float(values[clean].mean()) if clean.any() else None,
                "interval": _interval(result, task, key, values, clean, seed),
            }
    return found


def _interval(
    result: SuiteResult, task: str, key: str, values: Any, clean: Any, seed: int
) -> list[float] | None:
    """95 % of clean - all, by bootstrap over items; None where all are clean, or none."""
    if clean.all() or not clean.any():
        return None
    # Clean minus all is the mean over items of what each adds to it.
    share = clean / clean.mean() - 1
    line = paired(
        f"{task}/{key}/clean",
        np.zeros_like(values),
        (values - values.mean()) * share,
        higher_is_better=True,
        seed=seed,
        clusters=clusters_of(item_docs(result, task, key)),
    )
    return list(line.interval)
