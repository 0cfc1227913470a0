"""Results of a suite in the harness's own files, so that its tools read them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config import EvalConfig, Precision
from eval.engine.answers import Answers
from eval.engine.certificate import TOLERANCE
from eval.harness.parts import whole_folder
from eval.harness.suites import leaves
from pacos.configs.suite import SuiteConfig
from pacos.files import read_json, write_json

log = logging.getLogger(__name__)

BOOTSTRAP_ITERS = 1000
"""Resamples for the harness's own standard error, where it has no closed form."""


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What the harness wrote about one model on one suite."""

    results: dict[str, Any]
    """The content of results_*.json."""
    samples: dict[str, list[dict[str, Any]]]
    """Lines of samples_<task>_*.jsonl by task: one for each document and filter."""

    def values(self) -> dict[str, float]:
        """All scores under task/metric names, those of groups first."""
        names = [*self.results.get("groups", {}), *self.samples]
        return {
            f"{name}/{metric_name(self, name, key)}": value
            for name in names
            for key, value in self.results["results"][name].items()
            if isinstance(value, int | float) and is_score(key)
        }

    def outermost(self) -> list[str]:
        """Groups and tasks that are in no other group."""
        children = self.results.get("group_subtasks", {})
        inside = {child for members in children.values() for child in members}
        names = [*self.results.get("groups", {}), *self.samples]
        return [name for name in names if name not in inside]

    def mean_score(self) -> float | None:
        """Mean over `outermost` of each one's first metric of which more is better."""
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
        """Of a metric, with its filter, of a task or group."""
        known = self.results["higher_is_better"].get(name, {})
        return bool(known.get(key.partition(",")[0], True))


def is_score(key: str) -> bool:
    """Whether a key of the harness's results is a metric and its filter."""
    return "," in key and not key.partition(",")[0].endswith("_stderr")


def metric_name(result: SuiteResult, task: str, key: str) -> str:
    """A metric's name, with its filter only where the task scores through several."""
    metric, _, _ = key.partition(",")
    filters = {name.partition(",")[2] for name in result.results["results"][task] if is_score(name)}
    return key if len(filters) > 1 else metric


def score_suite(lm: Any, folder: Path, *, tasks: list[Any], config: EvalConfig) -> None:
    """Have the harness score a model on tasks, and write its results to `folder`.

    Args:
        lm: the model as the harness sees it.
        folder: appears when all is written.
        tasks: the harness's task objects.
        config: limits, seeds, templates.

    Answers are kept beside the folder until it appears, so that nothing is asked twice.
    """
    from lm_eval.loggers import EvaluationTracker

    lm.certify()
    with keeping_answers(lm, folder, config), whole_folder(folder) as partial:
        # Given a file's name the tracker writes beside it; a folder would get a folder inside.
        tracker = EvaluationTracker(output_path=str(partial / "results.json"))
        results = run_harness(lm, tasks, config.suite, config.limit, config.seed)
        results["config"]["model_args"] = lm.model_args
        tracker.general_config_tracker.log_experiment_args(
            model_source=lm.model_source,
            model_args=lm.model_args,
            system_instruction=None,
            chat_template=lm.chat_template(True) if config.suite.chat_template else None,
            fewshot_as_multiturn=True,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for name, lines in samples.items():
            tracker.save_results_samples(task_name=name, samples=lines)
        _check_written(partial, samples)
        if lm.certificate is not None:
            _write_certificate(partial, lm, config)


@contextmanager
def keeping_answers(lm: Any, folder: Path, config: EvalConfig) -> Iterator[None]:
    """Keep a model's answers beside a folder until it appears: a killed run asks nothing twice."""
    kept = folder.with_name(f".{folder.name}.answers.jsonl")
    asked_of = lm.known_as()
    if asked_of is not None:
        lm.answers = Answers(kept, {**asked_of, "seed": config.seed})
    yield
    kept.unlink(missing_ok=True)


def run_harness(
    lm: Any, tasks: list[Any], suite: SuiteConfig, limit: int | None, seed: int
) -> dict[str, Any]:
    """Have the harness score a model; returns what its `simple_evaluate` does.

    Args:
        lm: the model as the harness sees it.
        tasks: the harness's task objects.
        suite: what it wants the chat template for.
        limit: items a task; None takes all.
        seed: of examples in prompts, and of every random number that a task may draw.
    """
    answered = [task for task in tasks if next(leaves([task])).OUTPUT_TYPE == "generate_until"]
    scored = [task for task in tasks if task not in answered]
    if not suite.chat_template or suite.chat_choices or not (answered and scored):
        chat = suite.chat_template and (suite.chat_choices or bool(answered))
        return _evaluate(lm, tasks, chat, limit, seed)
    results = _evaluate(lm, scored, False, limit, seed)
    for key, value in _evaluate(lm, answered, True, limit, seed).items():
        if isinstance(value, dict) and key != "config":
            results[key] = {**results.get(key, {}), **value}
    return results


def _evaluate(
    lm: Any, tasks: list[Any], chat_template: bool, limit: int | None, seed: int
) -> dict[str, Any]:
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    # It would ask git about the current folder, aloud; the manifest has the commit of pacos.
    evaluator.get_git_commit_hash = lambda: None
    results: dict[str, Any] = evaluator.simple_evaluate(
        model=lm,
        tasks=tasks,
        task_manager=TaskManager(include_defaults=False),
        batch_size=lm.batch_size,
        limit=limit,
        device=lm.device and str(lm.device),
        use_cache=None,
        cache_requests=False,
        bootstrap_iters=BOOTSTRAP_ITERS,
        log_samples=True,
        apply_chat_template=chat_template,
        fewshot_as_multiturn=True,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    return results


def _write_certificate(folder: Path, lm: Any, config: EvalConfig) -> None:
    certificate = lm.certificate
    facts = {"precision": config.precision.name, "shares_contexts": lm.shares_contexts}
    write_json(folder / "certificate.json", {**facts, **certificate.to_json()})
    if not lm.shares_contexts:
        return
    in_fp32 = config.precision is Precision.fp32
    is_off = certificate.max_difference > TOLERANCE or certificate.different_answers
    log.log(logging.WARNING if in_fp32 and is_off else logging.INFO, "%s", certificate)


def _check_written(folder: Path, samples: dict[str, list[Any]]) -> None:
    """The tracker logs a failure to write as a warning and goes on; here it is an error."""
    files = list(folder.glob("samples_*.jsonl"))
    lines = sum(file.read_text(encoding="utf-8").count("\n") for file in files)
    aggregated = len(list(folder.glob("results_*.json")))
    if (aggregated, len(files), lines) != (1, len(samples), sum(map(len, samples.values()))):
        raise OSError(f"{folder}: the harness could not write all of its results")


def read_suite(folder: Path) -> SuiteResult:
    """Read back what `score_suite` wrote."""
    (aggregated,) = folder.glob("results_*.json")
    results = read_json(aggregated)
    samples = {}
    for task in results["configs"]:
        (file,) = folder.glob(f"samples_{task}_[0-9][0-9][0-9][0-9]-*.jsonl")
        with file.open(encoding="utf-8") as lines:
            samples[task] = [json.loads(line) for line in lines]
    return SuiteResult(results, samples)
