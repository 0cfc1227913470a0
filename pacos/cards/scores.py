"""The scores of a model in a card: metadata for the hub, and a table with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacos.files import read_json
from pacos.lineage.library import Library, Run, scores_of
from pacos.run_paths import EvalPaths

NORMAL_95 = 1.96
"""Standard errors on each side of a mean that hold 95 % of a normal distribution."""

SAFETY = ("bbq", "crows_pairs", "truthfulqa", "xstest", "toxigen", "realtoxicity", "harmless")
"""Beginnings of the names of tasks about safety: bias, truthfulness, refusals."""


@dataclass(frozen=True, slots=True)
class Score:
    """A figure of an evaluation."""

    run: Run
    label: str
    """`target` or `baseline`."""
    task: str
    metric: str
    value: float
    error: float | None
    """Standard error; None if the figure is no mean over items."""
    settings: str
    """Settings that change the figure: examples, items."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval, by the normal approximation."""
        if self.error is None:
            return None
        return self.value - NORMAL_95 * self.error, self.value + NORMAL_95 * self.error

    @property
    def is_about_safety(self) -> bool:
        return self.task.startswith(SAFETY)


def scores_in_card(origin: Mapping[str, Any], library: Library) -> list[Score]:
    """Return all scores of a model.

    Args:
        origin: content of the model's origin.json; hashes of its files are not needed.
        library: its evaluations are searched.
    """
    keys = ("identity", "data", "step", "dtype")
    found: list[Score] = []
    for run in library.of_stage("eval"):
        for label in ("target", "baseline"):
            model = library.evaluated(run, label)
            if model is not None and all(model.origin[key] == origin[key] for key in keys):
                found += _scores(run, label)
    # One figure for each name: the newest evaluation is the last.
    found.sort(key=lambda score: score.run.manifest.get("created", 0))
    return [*{(score.task, score.metric, score.settings): score for score in found}.values()]


def _scores(run: Run, label: str) -> Iterator[Score]:
    file = EvalPaths(run.paths.eval).standard_errors
    errors = read_json(file).get(label, {}) if file.is_file() else {}
    config = run.config()
    examples = (config.get("suite") or {}).get("num_fewshot") or {}
    limit = config.get("limit")
    for name, value in scores_of(run, label):
        task, _, metric = name.rpartition("/")
        settings = [f"{examples[task]} examples"] if task in examples else []
        settings += [f"only {limit} items a task"] if limit is not None else []
        error = errors.get(name)
        yield Score(run, label, task, metric, value, error, ", ".join(settings))


def model_index(name: str, scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Return the hub's `model-index`; empty without scores."""
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for score in scores:
        key = (score.task, score.settings)
        result = results.setdefault(
            key,
            {
                "task": {"type": "text-generation"},
                "dataset": {
                    "name": f"{score.task} ({score.settings})" if score.settings else score.task,
                    "type": score.task,
                    **({"config": score.settings} if score.settings else {}),
                },
                "metrics": [],
            },
        )
        metric = {"type": score.metric, "name": score.metric, "value": round(score.value, 4)}
        if (interval := score.interval) is not None:
            # The format has no field for an interval; `args` takes any.
            ends = [round(end, 4) for end in interval]
            metric["args"] = {"confidence": 0.95, "interval": ends}
        result["metrics"].append(metric)
    return [{"name": name, "results": [*results.values()]}] if results else []


def score_table(scores: Sequence[Score]) -> str:
    """Return the scores as a Markdown table."""
    lines = ["| task | metric | score | 95 % interval | settings |", "|---|---|---|---|---|"]
    for score in scores:
        interval = score.interval
        shown = "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        lines.append(
            f"| {score.task} | {score.metric} | {score.value:.3f} | {shown} | {score.settings} |"
        )
    return "\n".join(lines)
