import json
from dataclasses import replace
from pathlib import Path

import pytest
from lm_eval.loggers import EvaluationTracker

from eval.config import EvalConfig
from eval.engine.loading import build_lm
from eval.harness.results import read_suite, score_suite
from eval.harness.suites import build_suite

# What the command `lm_eval run --log_samples` of 0.4.13 writes.
RESULT_KEYS = {
    *("results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better"),
    *("n-samples", "config", "git_hash", "date", "pretty_env_info", "transformers_version"),
    *("lm_eval_version", "upper_git_hash", "tokenizer_pad_token", "tokenizer_eos_token"),
    *("tokenizer_bos_token", "eot_token_id", "max_length", "task_hashes", "model_source"),
    *("model_name", "model_name_sanitized", "system_instruction", "system_instruction_sha"),
    *("fewshot_as_multiturn", "chat_template", "chat_template_sha"),
    "total_evaluation_time_seconds",
}
SAMPLE_KEYS = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}


@pytest.fixture
def folder(config: EvalConfig, tmp_path: Path) -> Path:
    folder = tmp_path / "smoke" / "target"
    tasks = build_suite(config.suite).tasks
    score_suite(build_lm(config.target, config), folder, tasks=tasks, config=config)
    return folder


def test_files_are_of_the_harness_own_schema(folder: Path, config: EvalConfig) -> None:
    assert len(list(folder.iterdir())) == 4
    (aggregated,) = folder.glob("results_*.json")
    results = json.loads(aggregated.read_text())
    assert set(results) == RESULT_KEYS
    assert set(results["results"]) == set(config.suite.tasks)
    assert results["config"]["limit"] == 4
    assert results["config"]["fewshot_seed"] == config.seed
    assert results["config"]["model_args"] == {"pretrained": config.target, "dtype": "float32"}
    stamp = aggregated.stem.removeprefix("results_")
    for task, metrics in (
        ("smoke_choice_en", {"acc", "acc_norm"}),
        ("smoke_generation_ko", {"exact_match"}),
    ):
        lines = (folder / f"samples_{task}_{stamp}.jsonl").read_text().splitlines()
        assert len(lines) == 4
        for line in lines:
            assert set(json.loads(line)) == SAMPLE_KEYS | metrics


def test_results_read_back(folder: Path) -> None:
    result = read_suite(folder)
    values = result.values()
    assert set(values) == {
        "smoke_choice_en/acc",
        "smoke_choice_en/acc_norm",
        "smoke_generation_ko/exact_match",
    }
    for task, metric in (name.split("/") for name in values):
        scores = [line[metric] for line in result.samples[task]]
        assert values[f"{task}/{metric}"] == pytest.approx(sum(scores) / len(scores))


def test_prompts_are_in_the_format_that_was_asked_for(config: EvalConfig, tmp_path: Path) -> None:
    chatty = replace(config, suite=replace(config.suite, chat_template=True))
    tasks = build_suite(chatty.suite).tasks
    folder = tmp_path / "chat"
    score_suite(build_lm(chatty.target, chatty), folder, tasks=tasks, config=chatty)
    prompt = read_suite(folder).samples["smoke_choice_en"][0]["arguments"]["gen_args_0"]["arg_0"]
    assert prompt.startswith("<|im_start|>user\n")
    assert prompt.endswith("Answer:<|im_end|>\n<|im_start|>assistant\n")


def test_the_same_tasks_score_twice_alike(config: EvalConfig, tmp_path: Path) -> None:
    tasks = build_suite(config.suite).tasks
    for name in ("one", "two"):
        score_suite(build_lm(config.target, config), tmp_path / name, tasks=tasks, config=config)
    one, two = read_suite(tmp_path / "one"), read_suite(tmp_path / "two")
    assert one.samples == two.samples
    assert one.results["configs"] == two.results["configs"]


def test_what_the_harness_fails_to_write_is_an_error(
    config: EvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluationTracker, "save_results_samples", lambda self, **given: None)
    tasks = build_suite(config.suite).tasks
    with pytest.raises(OSError, match="could not write all"):
        score_suite(build_lm(config.target, config), tmp_path / "x", tasks=tasks, config=config)
    assert not (tmp_path / "x").exists()
