"""All that pacos uses of lm_eval 0.4.13 below its command line.

lm_eval has no stable Python interface: names move between its modules from one release to the next.
Every other module imports them from here, so supporting another release means editing this file
(and checking `eval.harness.local_data`, which patches `datasets` below lm_eval's tasks).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from lm_eval.tasks import TaskManager, _yaml_loader
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

__all__ = ["HFLM", "LM", "ConfigurableTask", "Instance", "TaskManager"]

TASKS_FOLDER = Path(_yaml_loader.__file__).parent
"""Folder of lm_eval's own tasks."""

BOOTSTRAP_ITERS = 1000
"""Resamples for lm_eval's own standard error, used where it has no closed form."""

Samples = Mapping[str, Sequence[Mapping[str, Any]]]
"""Logged samples by task: one line for each document and filter."""


def load_task_yaml(path: Path) -> dict[str, Any]:
    """Read a task file with its `!function` tags and includes."""
    config: dict[str, Any] = _yaml_loader.load_yaml(path)
    return config


def generation_settings(request: Instance, default_max_tokens: int) -> dict[str, Any]:
    """Return the normalised generation settings of a `generate_until` request.

    `until`, `max_gen_toks` and `do_sample` are always present. The request itself is not changed.
    """
    return dict(normalize_gen_kwargs(request.args[1], default_max_tokens))


def stop_strings(until: list[str], end_text: str) -> list[str]:
    """Return the texts that end an answer: those of the task, then the end-of-text token's."""
    return [stop for stop in handle_stop_sequences(until, eos=end_text) if stop]


def cut_at_stops(text: str, stops: list[str]) -> str:
    """Return an answer up to the first stop string."""
    cut: str = postprocess_generated_text(text, stops, None)
    return cut


def rolling_windows(
    tokens: list[int], prefix_id: int, max_length: int
) -> list[tuple[list[int], list[int]]]:
    """Cut a text into windows of context and scored tokens that score every token once."""
    windows = get_rolling_token_windows(tokens, prefix_id, max_seq_len=max_length, context_len=1)
    return [make_disjoint_window(window) for window in windows]


def score_as_harness(
    model: HFLM, requests: Sequence[tuple[Any, list[int], list[int]]]
) -> list[tuple[float, bool]]:
    """Score tokenised requests by HFLM's own method, even where a subclass overrides it."""
    scores: list[tuple[float, bool]] = HFLM._loglikelihood_tokens(
        model, list(requests), disable_tqdm=True
    )
    return scores


def generate_as_harness(model: HFLM, requests: Sequence[Instance]) -> list[str]:
    """Generate answers by HFLM's own method, even where a subclass overrides it."""
    answers: list[str] = HFLM.generate_until(model, list(requests), disable_tqdm=True)
    return answers


def silence_model_warnings() -> None:
    """Hide HFLM's warning that an already loaded model must be sharded by its caller: it is."""
    logging.getLogger("lm_eval.models.huggingface").setLevel(logging.ERROR)


def evaluate_tasks(
    model: Any, tasks: Iterable[Any], *, chat_template: bool, limit: int | None, seed: int
) -> dict[str, Any]:
    """Run lm_eval's `simple_evaluate` on task objects and return its results.

    Args:
        model: an `LM`.
        tasks: task objects and groups with their documents loaded.
        chat_template: True to render prompts through the model's chat template.
        limit: items per task; None for all.
        seed: of the few-shot examples and of every random number that a task draws.
    """
    # lm_eval would run git in the current folder and log its failure. The manifest has our commit.
    evaluator.get_git_commit_hash = lambda: None
    results: dict[str, Any] = evaluator.simple_evaluate(
        model=model,
        tasks=list(tasks),
        task_manager=TaskManager(include_defaults=False),
        batch_size=model.batch_size,
        limit=limit,
        device=model.device and str(model.device),
        # Keys of the first cache lack the model, those of the second the few-shot seed.
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


def open_tracker(folder: Path) -> EvaluationTracker:
    """Return the writer of results in `folder`. It counts the evaluation's time from this call."""
    # Given a file name, the tracker writes beside it; given a folder, into a folder inside it.
    return EvaluationTracker(output_path=str(folder / "results.json"))


def save_results(
    tracker: EvaluationTracker,
    results: dict[str, Any],
    samples: Samples,
    *,
    model_source: str,
    model_args: Mapping[str, str],
    chat_template: str | None,
) -> None:
    """Write results_*.json and samples_*.jsonl as lm_eval's command line does.

    Raises:
        OSError: a file is missing or short.
    """
    tracker.general_config_tracker.log_experiment_args(
        model_source=model_source,
        model_args=model_args,
        system_instruction=None,
        chat_template=chat_template,
        fewshot_as_multiturn=True,
    )
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, lines in samples.items():
        tracker.save_results_samples(task_name=task, samples=lines)
    # The tracker logs a failed write as a warning and returns; a full disk must be an error.
    folder = Path(tracker.output_path).parent
    files = list(folder.glob("samples_*.jsonl"))
    written = sum(file.read_text(encoding="utf-8").count("\n") for file in files)
    aggregated = len(list(folder.glob("results_*.json")))
    if (aggregated, len(files), written) != (1, len(samples), sum(map(len, samples.values()))):
        raise OSError(f"{folder}: the harness could not write all of its results")
