"""HumanEval as a task of the harness, which asks for the answers and writes the results."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.configs.humaneval import TASK
from eval.humaneval.judge import Judge, Judged, pass_at_each
from eval.humaneval.pass_at_k import KS
from eval.humaneval.prompts import REQUEST, STOPS
from eval.humaneval.verdicts import check_references
from pacos.benchmarks.catalogue import BENCHMARKS, read_benchmarks
from pacos.benchmarks.items import CodeProblem

log = logging.getLogger(__name__)


def build_humaneval(config: EvalConfig, kept: Path) -> Any:
    """The task object, after seeing that answers to it can be judged on this machine.

    Args:
        config: of the evaluation.
        kept: file of verdicts, which a later life goes on with.

    Raises:
        UserError: a row of the problems' file is broken, or a reference solution fails.
        SandboxError: programs cannot be isolated here.
    """
    from lm_eval.api.task import ConfigurableTask

    items = list(read_benchmarks([TASK], config.suite.data_folder()))[: config.limit]
    problems = [item for item in items if isinstance(item, CodeProblem)]
    sandbox = config.humaneval.sandbox
    if sandbox.run_without_isolation:
        log.warning(
            "humaneval.sandbox.run_without_isolation = true: generated code runs as you, and can "
            "do all that you can"
        )
    log.info("%s: running the reference solutions of %d problems", TASK, len(problems))
    check_references(problems, sandbox)
    return ConfigurableTask(config=_task_config(config, kept))


def _task_config(config: EvalConfig, kept: Path) -> dict[str, Any]:
    (file,) = BENCHMARKS[TASK].files(config.suite.data_folder())
    wanted = config.humaneval
    # The harness writes the metadata into its results, with what the judge adds.
    facts: dict[str, Any] = {"version": 1.0, "timeout_seconds": wanted.sandbox.timeout_seconds}
    judge = Judge(config, kept, facts)
    generation: dict[str, Any] = {
        "until": [] if config.suite.chat_template else list(STOPS),
        "max_gen_toks": wanted.max_tokens,
        "do_sample": wanted.temperature > 0,
    }
    if wanted.temperature > 0:
        generation |= {"temperature": wanted.temperature, "top_p": wanted.top_p}
    return {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "doc_to_text": REQUEST if config.suite.chat_template else "{{prompt}}",
        "doc_to_target": "{{test}}\ncheck({{entry_point}})",
        "repeats": wanted.samples,
        "generation_kwargs": generation,
        "filter_list": [
            {"name": "create_test", "filter": [{"function": "custom", "filter_fn": judge}]}
        ],
        "process_results": _process_results,
        "metric_list": [
            {"metric": f"pass@{k}", "aggregation": "mean", "higher_is_better": True}
            for k in KS
            if k <= wanted.samples
        ],
        "metadata": facts,
    }


def _process_results(doc: Mapping[str, Any], results: Sequence[Judged]) -> dict[str, float]:
    """The harness hands over what the judge gave for the problem, in a list of one."""
    (judged,) = results
    return pass_at_each(judged)
