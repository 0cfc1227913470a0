"""What an evaluation found: comparison, table, tracked record, result.json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from eval.config import HELDOUT, EvalConfig
from eval.findings.compare import (
    CONFIDENCE,
    NLL,
    RESAMPLES,
    Difference,
    compare_heldout,
    compare_suites,
    standard_errors,
)
from eval.findings.contamination import in_words as report_in_words
from eval.findings.contamination import report_contamination
from eval.findings.table import as_text, comparison_table, score_table, show
from eval.findings.training_rows import training_sources
from eval.geval.findings.certificate import summary_lines
from eval.geval.findings.metrics import OVERALL, compare_models, mean_metrics
from eval.geval.records import JudgeResults, read_judge_results
from eval.harness.heldout import read_heldout, summary
from eval.harness.results import read_suite
from eval.rubrics.rubric import Rubric, read_rubrics
from pacos.configs.shared import flatten
from pacos.files import atomic_write, read_json, write_json
from pacos.run_paths import EvalPaths, JudgePaths, RunPaths
from pacos.tracking import metrics
from pacos.tracking.open import open_tracker

log = logging.getLogger(__name__)

Scores = Mapping[str, float]
"""Figures of one model under task/metric names."""


def conclude(config: EvalConfig, run: RunPaths) -> None:
    """Read all finished parts, compare, write and print."""
    scores = {label: read_scores(config, run, label) for label in config.models()}
    if not scores["target"] and config.judge.endpoint is None:
        log.info("answers are written; the same command with a judge, as judge=openai, scores them")
        return
    said = _judge_in_words(config, run)
    differences = compare(config, run) if config.baseline is not None else []
    errors = {label: read_errors(config, run, label) for label in config.models()}
    write_json(EvalPaths(run.eval).standard_errors, errors)
    if differences:
        table = comparison_table(differences, _caption(config))
        atomic_write(EvalPaths(run.eval).comparison_text, as_text(table) + said)
        write_json(EvalPaths(run.eval).comparison, _comparison(config, differences))
    else:
        table = score_table(scores["target"], errors["target"])
    # A result means that an earlier life came this far: its record is not tracked twice.
    if not run.result.is_file():
        _track(config, run, scores)
    write_json(run.result, result(scores, _objective(config, run, scores["target"])))
    show(table)
    if config.suite.tasks:
        _print_contamination(config, run)
    print(said, end="", flush=True)


def read_scores(config: EvalConfig, run: RunPaths, label: str) -> Scores:
    """All figures of one model."""
    found: dict[str, float] = {}
    if config.suite.tasks:
        found |= read_suite(run.eval / config.suite.name / label).values()
    if config.judge.endpoint is not None:
        found |= mean_metrics(*_judged(config, run), label)
    if config.heldout is not None:
        found[NLL] = summary(read_heldout(run.eval / HELDOUT / label))["nll"]
    return found


def read_errors(config: EvalConfig, run: RunPaths, label: str) -> Scores:
    """Standard errors of one model's figures."""
    if not config.suite.tasks:
        return {}
    return standard_errors(read_suite(run.eval / config.suite.name / label))


def compare(config: EvalConfig, run: RunPaths) -> list[Difference]:
    """Baseline against target, on everything that both were measured on."""
    found: list[Difference] = []
    if config.suite.tasks:
        folder = run.eval / config.suite.name
        before, after = read_suite(folder / "baseline"), read_suite(folder / "target")
        found += compare_suites(config.suite.name, before, after, config.seed)
    if config.judge.endpoint is not None:
        found += compare_models(*_judged(config, run), config.seed)
    if config.heldout is not None:
        folder = run.eval / HELDOUT
        old, new = read_heldout(folder / "baseline"), read_heldout(folder / "target")
        difference = compare_heldout(old, new, config.seed)
        if difference is None:
            log.warning("heldout: the tokenizers differ, so token NLLs cannot be compared")
        else:
            found.append(difference)
    return found


def _judged(config: EvalConfig, run: RunPaths) -> tuple[str, Mapping[str, Rubric], JudgeResults]:
    """The suite's name, its rubrics, and what the judge said."""
    folder = config.judged_folder(run.eval)
    assert folder is not None
    rubrics = {rubric.name: rubric for rubric in read_rubrics(config.suite)}
    return config.suite.name, rubrics, read_judge_results(folder)


def _objective(config: EvalConfig, run: RunPaths, target: Scores) -> dict[str, Any]:
    """The figure that a sweep optimises.

    It is the token NLL of held-out answers where it was measured; else a judge's overall score,
    None if no answer has all of its scores; else the mean over tasks and groups of each one's first
    metric of which more is better.
    """
    overall = f"{config.suite.name}/{OVERALL}"
    if NLL in target:
        return {"name": NLL, "value": target[NLL], "higher_is_better": False}
    if config.judge.endpoint is not None:
        return {"name": overall, "value": target.get(overall), "higher_is_better": True}
    mean = read_suite(run.eval / config.suite.name / "target").mean_score()
    return {"name": "mean score", "value": mean, "higher_is_better": True}


def result(scores: Mapping[str, Scores], objective: dict[str, Any]) -> dict[str, Any]:
    """The content of result.json: what a sweep optimises, and all figures of each model."""
    return {"objective": objective, **scores}


def _judge_in_words(config: EvalConfig, run: RunPaths) -> str:
    """Who judged, and what its scores are worth, in lines; empty without a judge."""
    folder = config.judged_folder(run.eval)
    if folder is None:
        return ""
    return "".join(f"{line}\n" for line in summary_lines(read_json(JudgePaths(folder).certificate)))


def _print_contamination(config: EvalConfig, run: RunPaths) -> None:
    """Search the target's training data for items, where it is known."""
    sources = training_sources(config.target, config.training_data)
    if not sources:
        return
    folder = run.eval / config.suite.name
    results = {label: read_suite(folder / label) for label in config.models()}
    report = report_contamination(results, sources, config.seed)
    write_json(EvalPaths(run.eval).contamination, report)
    for line in report_in_words(report):
        print(line, flush=True)


def _track(config: EvalConfig, run: RunPaths, scores: Mapping[str, Scores]) -> None:
    record: dict[str, object] = {metrics.STEP: 1}
    for label, found in scores.items():
        record |= {f"{label}/{name}": value for name, value in found.items()}
    settings = flatten(config)
    tracker = open_tracker(config.tracking, run, settings, is_main=True)
    tracker.log(record)
    tracker.close(0)


def _comparison(config: EvalConfig, differences: list[Difference]) -> dict[str, Any]:
    return {
        "before": config.baseline,
        "after": config.target,
        "suite": config.suite.name,
        "limit": config.limit,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "seed": config.seed,
        "differences": [difference.to_json() for difference in differences],
    }


def _caption(config: EvalConfig) -> str:
    limited = "" if config.limit is None else f" Only {config.limit} items a task: a quick look."
    return (
        f"before  {config.baseline}\nafter   {config.target}\n"
        "↑ higher is better, ↓ lower is better. The interval is a paired bootstrap over items, p a "
        "sign-flip test, corrected (Holm) for the number of task lines; items that share a passage "
        f"count as one draw. A verdict needs both.{limited}"
    )
