"""Conclude an evaluation: comparison, table, tracked record, result.json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from eval.config import HELDOUT, EvalConfig
from eval.findings.compare import NLL, compare_heldout, compare_suites, standard_errors
from eval.findings.contamination import report_contamination, summarize
from eval.findings.significance import CONFIDENCE, RESAMPLES, Difference
from eval.findings.table import as_text, comparison_table, score_table, show
from eval.geval.findings.certificate import summary_lines
from eval.geval.findings.metrics import OVERALL, compare_models, mean_metrics
from eval.geval.records import JudgeResults, read_judge_results
from eval.harness.heldout import read_heldout, summary
from eval.harness.results import read_suite
from eval.rubrics.rubric import Rubric, read_rubrics
from pacos.files import atomic_write, read_json, write_json
from pacos.identity import flatten
from pacos.lineage.records import training_sources
from pacos.run_paths import EvalPaths, JudgePaths, RunPaths
from pacos.tracking import metrics
from pacos.tracking.open import open_tracker

log = logging.getLogger(__name__)

Figures = Mapping[str, float]
"""Figures of one model by task/metric."""


def conclude(config: EvalConfig, run: RunPaths) -> None:
    """Read all finished parts, compare the models, write the results and print them."""
    scores = {label: read_scores(config, run, label) for label in config.models()}
    if not scores["target"] and config.judge.endpoint is None:
        log.info("answers are written; the same command with a judge (judge=openai) scores them")
        return
    judge_lines = _judge_lines(config, run)
    differences = compare(config, run) if config.baseline is not None else []
    errors = {label: read_errors(config, run, label) for label in config.models()}
    files = EvalPaths(run.eval)
    write_json(files.standard_errors, errors)
    if differences:
        table = comparison_table(differences, _caption(config))
        atomic_write(files.comparison_text, as_text(table) + judge_lines)
        write_json(files.comparison, _comparison(config, differences))
    else:
        table = score_table(scores["target"], errors["target"])
    # An earlier life that wrote result.json has tracked the record. A life that is killed between
    # the two tracks it twice rather than never.
    if not run.result.is_file():
        _track(config, run, scores)
    write_json(run.result, result(scores, _objective(config, run, scores["target"])))
    show(table)
    if config.suite.tasks:
        _report_contamination(config, run)
    print(judge_lines, end="", flush=True)


def read_scores(config: EvalConfig, run: RunPaths, label: str) -> Figures:
    """Return all figures of one model."""
    scores: dict[str, float] = {}
    if config.suite.tasks:
        scores |= read_suite(run.eval / config.suite.name / label).values()
    if config.judge.endpoint is not None:
        scores |= mean_metrics(*_judged(config, run), label)
    if config.heldout is not None:
        scores[NLL] = summary(read_heldout(run.eval / HELDOUT / label))["nll"]
    return scores


def read_errors(config: EvalConfig, run: RunPaths, label: str) -> Figures:
    """Return the standard errors of one model's figures."""
    if not config.suite.tasks:
        return {}
    return standard_errors(read_suite(run.eval / config.suite.name / label))


def compare(config: EvalConfig, run: RunPaths) -> list[Difference]:
    """Compare baseline and target on everything that both were measured on."""
    differences: list[Difference] = []
    if config.suite.tasks:
        folder = run.eval / config.suite.name
        before, after = read_suite(folder / "baseline"), read_suite(folder / "target")
        differences += compare_suites(config.suite.name, before, after, config.seed)
    if config.judge.endpoint is not None:
        differences += compare_models(*_judged(config, run), config.seed)
    if config.heldout is not None:
        folder = run.eval / HELDOUT
        old, new = read_heldout(folder / "baseline"), read_heldout(folder / "target")
        difference = compare_heldout(old, new, config.seed)
        if difference is None:
            log.warning("heldout: the tokenizers differ, so token NLLs cannot be compared")
        else:
            differences.append(difference)
    return differences


def _judged(config: EvalConfig, run: RunPaths) -> tuple[str, Mapping[str, Rubric], JudgeResults]:
    """Return the suite's name, its rubrics, and the judge's scores."""
    folder = config.judged_folder(run.eval)
    assert folder is not None
    rubrics = {rubric.name: rubric for rubric in read_rubrics(config.suite)}
    return config.suite.name, rubrics, read_judge_results(folder)


def _objective(config: EvalConfig, run: RunPaths, target: Figures) -> dict[str, Any]:
    """Return the figure that a sweep optimises.

    The token NLL of held-out answers if it was measured. Otherwise a judge's overall score, None if
    no answer has all of its scores. Otherwise the mean over tasks and groups of each one's first
    metric of which higher is better.
    """
    overall = f"{config.suite.name}/{OVERALL}"
    if NLL in target:
        return {"name": NLL, "value": target[NLL], "higher_is_better": False}
    if config.judge.endpoint is not None:
        return {"name": overall, "value": target.get(overall), "higher_is_better": True}
    mean = read_suite(run.eval / config.suite.name / "target").mean_score()
    return {"name": "mean score", "value": mean, "higher_is_better": True}


def result(scores: Mapping[str, Figures], objective: dict[str, Any]) -> dict[str, Any]:
    """Return the content of result.json: a sweep's objective, and all figures of each model."""
    return {"objective": objective, **scores}


def _judge_lines(config: EvalConfig, run: RunPaths) -> str:
    """Return lines on the judge and the reliability of its scores; empty without a judge."""
    folder = config.judged_folder(run.eval)
    if folder is None:
        return ""
    return "".join(f"{line}\n" for line in summary_lines(read_json(JudgePaths(folder).certificate)))


def _report_contamination(config: EvalConfig, run: RunPaths) -> None:
    """Search the target's training data, if they are known, for items; write and print."""
    sources = training_sources(config.target, config.training_data)
    if not sources:
        return
    folder = run.eval / config.suite.name
    results = {label: read_suite(folder / label) for label in config.models()}
    report = report_contamination(results, sources, config.seed)
    write_json(EvalPaths(run.eval).contamination, report)
    for line in summarize(report):
        print(line, flush=True)


def _track(config: EvalConfig, run: RunPaths, scores: Mapping[str, Figures]) -> None:
    record: dict[str, object] = {metrics.STEP: 1}
    for label, figures_of_model in scores.items():
        record |= {f"{label}/{name}": value for name, value in figures_of_model.items()}
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
    limited = "" if config.limit is None else f" Only {config.limit} items per task: a quick look."
    return (
        f"before  {config.baseline}\nafter   {config.target}\n"
        "↑ higher is better, ↓ lower is better. The interval comes from a paired bootstrap over "
        "items, p from a sign-flip test, corrected (Holm) for the number of task lines. Items that "
        f"share a passage count as one. A verdict needs both.{limited}"
    )
