"""Find items of a suite in the target's own training data, and give the scores without them.

The search is the one of data generation (docs/decontamination.md): a row that it would have
rejected flags an item here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.findings.compare import item_docs, item_values
from eval.findings.significance import Floats, bootstrap_interval
from eval.findings.standard_error import PASSAGES, clusters_of, sums
from eval.harness.results import SuiteResult, is_score, metric_name
from pacos.benchmarks.items import CodeProblem, Item, MultipleChoice, OpenQuestion, SentencePair
from pacos.contamination.index import ContaminationIndex
from pacos.lineage.records import TrainingData, TrainingRow, training_rows
from pacos.seeds import derived_seed

BATCH_ROWS = 2000
"""Training rows searched at once: bounds memory on data sets of millions of rows."""

QUESTIONS = ("question", "query", "prompt", "problem", "instruction", "goal", "ctx", "sentence")
"""Fields of documents that hold the question, in order of preference."""

CHOICES = ("choices", "endings", "options", "mc1_targets")
CHOICE = re.compile(r"(?:ans|answer|choice|option|sol|ending)_?\d|[A-E]")
"""Fields that hold choices: a list of all of them, or one field per choice."""

ANSWERS = ("answer", "answers", "solution", "output", "best_answer", "correct_answers")


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that contains an item."""

    row: str
    """Place of the row: file and line."""
    sign: str
    """Kind of overlap: 13-gram, whole, 8-gram or code."""
    score: float
    words: str
    """The words in common."""

    def to_json(self) -> dict[str, Any]:
        return {"row": self.row, "sign": self.sign, "score": self.score, "words": self.words}


Leaks = Mapping[str, Mapping[int, list[Leak]]]
"""Leaks by task and document id."""


def report_contamination(
    results: Mapping[str, SuiteResult], sources: Sequence[TrainingData], seed: int
) -> dict[str, Any]:
    """Return the content of contamination.json.

    Args:
        results: results of each model on the same items.
        sources: the target's training data.
        seed: seed of the bootstrap.
    """
    target = results["target"]
    rows = chain.from_iterable(map(training_rows, sources))
    leaks, count = find_leaks(target, rows)
    items = sum(len({line["doc_id"] for line in lines}) for lines in target.samples.values())
    return {
        "training_data": [source.identity() for source in sources],
        "rows": count,
        "items": items,
        "flagged": sum(map(len, leaks.values())),
        "leaks": {
            task: {doc_id: [leak.to_json() for leak in of_doc] for doc_id, of_doc in docs.items()}
            for task, docs in leaks.items()
        },
        "scores": {label: clean_scores(result, leaks, seed) for label, result in results.items()},
    }


def summarize(report: Mapping[str, Any]) -> list[str]:
    """Return the lines of a report that a person should see."""
    lines = [
        f"contamination: {report['flagged']} of {report['items']} items overlap with the "
        f"{report['rows']} rows of the target's training data"
    ]
    for name, score in report["scores"]["target"].items():
        if score["flagged"] and score["clean"] is not None:
            difference = score["clean"] - score["all"]
            lines.append(
                f"  {name}: {score['all']:.3f} on all items, {score['clean']:.3f} "
                f"({difference:+.3f}) without the {score['flagged']} of them"
            )
    return lines


def find_leaks(result: SuiteResult, rows: Iterable[TrainingRow]) -> tuple[Leaks, int]:
    """Search training rows for the items of a suite.

    Args:
        result: lm_eval's results, whose samples hold each item's document.
        rows: the training rows.

    Returns:
        The leaks, and the number of rows.
    """
    # A document has one line for each filter of its task.
    docs = {
        task: {line["doc_id"]: line["doc"] for line in lines}
        for task, lines in result.samples.items()
    }
    items = [
        item
        for task, of_task in docs.items()
        for doc_id, doc in of_task.items()
        if (item := item_of(task, str(doc_id), doc)) is not None
    ]
    index = ContaminationIndex(items)
    leaks: dict[str, dict[int, list[Leak]]] = defaultdict(lambda: defaultdict(list))
    count, remaining = 0, iter(rows)
    while batch := list(islice(remaining, BATCH_ROWS)):
        count += len(batch)
        for row, overlaps in zip(batch, index.overlaps(batch), strict=True):
            for overlap in overlaps:
                leak = Leak(row.place, overlap.kind.value, round(overlap.score, 3), overlap.words)
                leaks[overlap.benchmark][int(overlap.item)].append(leak)
    return leaks, count


def item_of(task: str, doc_id: str, doc: Mapping[str, Any]) -> Item | None:
    """Read a document as an item of the search. Return None if it has no text.

    lm_eval has no common schema: every task names its columns as its data set does. Where no column
    has a known name, the longest text is the question, so that no task goes unsearched.
    """
    facts = {"benchmark": task, "id": doc_id}
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
    texts = {name: text for name, text in doc.items() if isinstance(text, str)}
    question = next((texts[name] for name in QUESTIONS if name in texts), "")
    question = question or max(texts.values(), key=len, default="")
    if not question:
        return None
    passage = next((texts[name] for name in PASSAGES if name in texts), "")
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
    """Return each metric that is a mean over items: on all items, and on those without a leak.

    Args:
        result: results of one model.
        leaks: leaks of the same items.
        seed: seed of the bootstrap.
    """
    scores = {}
    for task, lines in result.samples.items():
        for key in filter(is_score, result.results["results"][task]):
            values = item_values(result, task, key)
            if values is None:
                continue
            used = key.partition(",")[2]
            doc_ids = [line["doc_id"] for line in lines if line["filter"] == used]
            clean = np.array([doc_id not in leaks.get(task, {}) for doc_id in doc_ids])
            name = f"{task}/{metric_name(result, task, key)}"
            scores[name] = {
                "items": len(values),
                "flagged": int((~clean).sum()),
                "all": float(values.mean()),
                "clean": float(values[clean].mean()) if clean.any() else None,
                "interval": _interval(result, task, key, values, clean, seed),
            }
    return scores


def _interval(
    result: SuiteResult,
    task: str,
    key: str,
    values: Floats,
    clean: NDArray[np.bool_],
    seed: int,
) -> list[float] | None:
    """Return the 95 % interval of clean - all by a bootstrap over items.

    None if all items are clean, or none is.
    """
    if clean.all() or not clean.any():
        return None
    # Σ clean·value / Σ clean - mean(values) is the mean over items of
    # (value - mean) * (clean / mean(clean) - 1): a mean, which can be resampled.
    terms = (values - values.mean()) * (clean / clean.mean() - 1)
    # Items of one passage are not independent: whole clusters are resampled.
    clusters = clusters_of(item_docs(result, task, key))
    random = np.random.default_rng(derived_seed(seed, "compare", f"{task}/{key}/clean"))
    return list(
        bootstrap_interval(sums(terms, clusters), sums(np.ones_like(terms), clusters), random)
    )
