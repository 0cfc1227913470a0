"""HumanEval as a task of the harness, which requests the answers and writes the results."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.configs.humaneval import TASK
from eval.humaneval.grader import GradedAnswers, Grader, passed
from eval.humaneval.pass_at_k import KS, pass_at_each_k
from eval.humaneval.prompts import REQUEST, STOPS
from eval.humaneval.verdicts import check_references
from eval.lm_eval_api import ConfigurableTask
from pacos.benchmarks.catalogue import BENCHMARKS, read_benchmarks
from pacos.benchmarks.items import CodeProblem

log = logging.getLogger(__name__)


def build_humaneval(config: EvalConfig, path: Path) -> ConfigurableTask:
    """Return the task, after checking that this machine can grade its answers.

    Args:
        config: config of the evaluation.
        path: file of verdicts, which a later life continues.

    Raises:
        UserError: a line of the benchmark's file is invalid, or a reference solution fails.
        SandboxError: programs cannot be isolated here.
    """
    items = list(read_benchmarks([TASK], config.suite.data_folder()))[: config.limit]
    problems = [item for item in items if isinstance(item, CodeProblem)]
    sandbox = config.humaneval.sandbox
    if sandbox.run_without_isolation:
        log.warning(
            "humaneval.sandbox.run_without_isolation = true: generated code runs with all your "
            "rights"
        )
    # Now, and not when answers are graded: by then a model has generated for hours.
    log.info("%s: running the reference solutions of %d problems", TASK, len(problems))
    check_references(problems, sandbox)
    return ConfigurableTask(config=_task_config(config, path))


def _task_config(config: EvalConfig, path: Path) -> dict[str, Any]:
    (file,) = BENCHMARKS[TASK].files(config.suite.data_folder())
    settings = config.humaneval
    # The harness writes the metadata into its results after the filters have run, with everything
    # that the grader has added by then.
    facts: dict[str, Any] = {"version": 1.0, "timeout_seconds": settings.sandbox.timeout_seconds}
    grader = Grader(config, path, facts)
    generation: dict[str, Any] = {
        "until": [] if config.suite.chat_template else list(STOPS),
        "max_gen_toks": settings.max_tokens,
        "do_sample": settings.temperature > 0,
    }
    # Greedy decoding takes neither: transformers warns about settings that it ignores.
    if settings.temperature > 0:
        generation |= {"temperature": settings.temperature, "top_p": settings.top_p}
    return {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "doc_to_text": REQUEST if config.suite.chat_template else "{{prompt}}",
        "doc_to_target": "{{test}}\ncheck({{entry_point}})",
        "repeats": settings.samples,
        "generation_kwargs": generation,
        "filter_list": [
            # The harness's name for this filter: it is part of the metric keys in its results.
            {"name": "create_test", "filter": [{"function": "custom", "filter_fn": grader}]}
        ],
        "process_results": _process_results,
        "metric_list": [
            {"metric": f"pass@{k}", "aggregation": "mean", "higher_is_better": True}
            for k in KS
            if k <= settings.samples
        ],
        "metadata": facts,
    }


def _process_results(doc: Mapping[str, Any], results: Sequence[GradedAnswers]) -> dict[str, float]:
    """Return a problem's metrics; the harness passes its graded answers in a list of one."""
    (graded,) = results
    return pass_at_each_k(passed(graded))
