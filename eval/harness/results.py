"""Results of a suite in lm_eval's own files, so that its tools read them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config import EvalConfig, Precision
from eval.engine.certificate import TOLERANCE, Certificate
from eval.harness.model import EvaluatedModel, publish_results
from eval.harness.suites import leaves
from eval.lm_eval_api import evaluate_tasks, open_tracker, save_results
from pacos.configs.suite import SuiteConfig
from pacos.files import read_json, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """lm_eval's results of one model on one suite."""

    results: dict[str, Any]
    """Content of results_*.json."""
    samples: dict[str, list[dict[str, Any]]]
    """Lines of samples_<task>_*.jsonl by task: one for each document and filter."""

    def values(self) -> dict[str, float]:
        """Return all scores by task/metric, those of groups first."""
        names = [*self.results.get("groups", {}), *self.samples]
        return {
            f"{name}/{metric_name(self, name, key)}": value
            for name in names
            for key, value in self.results["results"][name].items()
            if isinstance(value, int | float) and is_score(key)
        }

    def outermost(self) -> list[str]:
        """Return the groups and tasks that belong to no other group."""
        children = self.results.get("group_subtasks", {})
        inside = {child for members in children.values() for child in members}
        names = [*self.results.get("groups", {}), *self.samples]
        return [name for name in names if name not in inside]

    def mean_score(self) -> float | None:
        """Return the mean over `outermost` of the first metric of which higher is better.

        None if there is no such metric.
        """
        # One metric per task: acc and acc_norm, say, are two views of the same answers.
        first = [
            next(
                (
                    value
                    for key, value in self.results["results"][name].items()
                    if is_score(key) and self.higher_is_better(name, key)
                ),
                None,
            )
            for name in self.outermost()
        ]
        values = [value for value in first if value is not None]
        return sum(values) / len(values) if values else None

    def higher_is_better(self, name: str, key: str) -> bool:
        """Return the direction of a metric (with its filter) of a task or group."""
        # A task need not state the direction of a metric. Most metrics are accuracies.
        directions = self.results["higher_is_better"].get(name, {})
        return bool(directions.get(key.partition(",")[0], True))


def is_score(key: str) -> bool:
    """Return True if a key of lm_eval's results is a metric with its filter, as `acc,none`."""
    return "," in key and not key.partition(",")[0].endswith("_stderr")


def metric_name(result: SuiteResult, task: str, key: str) -> str:
    """Return a metric's name, with its filter only if the task scores through several."""
    metric, _, _ = key.partition(",")
    filters = {name.partition(",")[2] for name in result.results["results"][task] if is_score(name)}
    return key if len(filters) > 1 else metric


def score_suite(
    lm: EvaluatedModel, folder: Path, *, tasks: Sequence[Any], config: EvalConfig
) -> None:
    """Let lm_eval score a model on tasks, and publish its results in `folder`.

    Args:
        lm: the model.
        folder: appears when everything is written.
        tasks: lm_eval's task objects.
        config: limit, seed, chat template, precision.
    """
    certificate = lm.start_certificate()
    with publish_results(lm, folder, config.seed) as partial:
        tracker = open_tracker(partial)
        results = run_harness(lm, tasks, config.suite, config.limit, config.seed)
        results["config"]["model_args"] = lm.model_args
        save_results(
            tracker,
            results,
            results.pop("samples"),
            model_source=lm.model_source,
            model_args=lm.model_args,
            chat_template=lm.chat_template(True) if config.suite.chat_template else None,
        )
        if certificate is not None:
            _write_certificate(partial, certificate, config.precision)


def run_harness(
    lm: EvaluatedModel, tasks: Sequence[Any], suite: SuiteConfig, limit: int | None, seed: int
) -> dict[str, Any]:
    """Let lm_eval score a model; return what its `simple_evaluate` returns.

    Args:
        lm: the model.
        tasks: lm_eval's task objects.
        suite: its use of the chat template.
        limit: items per task; None for all.
        seed: seed of few-shot examples and of every random number that a task draws.
    """
    generated = [task for task in tasks if next(leaves([task])).OUTPUT_TYPE == "generate_until"]
    scored = [task for task in tasks if task not in generated]
    if not suite.chat_template or suite.chat_choices or not (generated and scored):
        chat = suite.chat_template and (suite.chat_choices or bool(generated))
        return evaluate_tasks(lm, tasks, chat_template=chat, limit=limit, seed=seed)
    # lm_eval applies the chat template to all tasks of a call or to none.
    results = evaluate_tasks(lm, scored, chat_template=False, limit=limit, seed=seed)
    answered = evaluate_tasks(lm, generated, chat_template=True, limit=limit, seed=seed)
    for key, value in answered.items():
        if isinstance(value, dict) and key != "config":
            results[key] = {**results.get(key, {}), **value}
    return results


def _write_certificate(folder: Path, certificate: Certificate, precision: Precision) -> None:
    facts = {"precision": precision.name, **certificate.to_json()}
    write_json(folder / "certificate.json", facts)
    if not certificate.shares_contexts:
        return
    differs = certificate.max_difference > TOLERANCE or certificate.different_answers
    # In bf16 no two batchings agree, lm_eval's own included: only fp32 is held to the tolerance.
    level = logging.WARNING if precision is Precision.fp32 and differs else logging.INFO
    log.log(level, "%s", certificate)


def read_suite(folder: Path) -> SuiteResult:
    """Read back what `score_suite` wrote."""
    (aggregated,) = folder.glob("results_*.json")
    results = read_json(aggregated)
    samples = {}
    for task in results["configs"]:
        # The date in the pattern keeps task `a` from matching the samples of task `a_b`.
        (file,) = folder.glob(f"samples_{task}_[0-9][0-9][0-9][0-9]-*.jsonl")
        with file.open(encoding="utf-8") as lines:
            samples[task] = [json.loads(line) for line in lines]
    return SuiteResult(results, samples)
