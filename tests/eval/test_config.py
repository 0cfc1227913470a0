from dataclasses import replace
from pathlib import Path

import pytest

from eval.config import EvalConfig
from pacos.configs.suite import SuiteConfig


def keys(config: EvalConfig) -> list[str]:
    return [problem.key for problem in config.problems()]


def test_a_good_config_has_no_problem(config: EvalConfig) -> None:
    assert config.problems() == []
    assert config.missing_files() == []


@pytest.mark.parametrize("name", ["heldout", "smoke_choice_en"])
def test_a_suite_is_neither_a_task_nor_heldout(config: EvalConfig, name: str) -> None:
    assert keys(replace(config, suite=replace(config.suite, name=name))) == ["suite.name"]


def test_the_baseline_is_measured_first(config: EvalConfig) -> None:
    assert list(config.models()) == ["target"]
    assert list(replace(config, baseline="b").models()) == ["baseline", "target"]


def test_every_problem_is_named_at_once(config: EvalConfig) -> None:
    wrong = replace(
        config, batch_size=0, limit=0, prompt_format=None, suite=SuiteConfig(name="x", folder="y")
    )
    assert keys(wrong) == ["batch_size", "limit", "prompt_format"]
    assert keys(replace(wrong, heldout=None))[-1] == "suite.tasks"


def test_absent_files_are_named(config: EvalConfig) -> None:
    suite = replace(config.suite, folder="/nowhere")
    wrong = replace(config, target="/no", baseline="/none", heldout="/not", suite=suite)
    found = {problem.key: str(problem) for problem in wrong.missing_files()}
    assert list(found) == ["baseline", "target", "heldout", "suite.folder"]


def test_a_chat_template_needs_a_format_of_null(config: EvalConfig, tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    with_both = replace(config, chat_template=str(template))
    assert keys(with_both) == ["chat_template"]
    alone = replace(with_both, prompt_format=None)
    # It writes held-out rows as well as a format does.
    assert alone.heldout is not None
    assert keys(alone) == []
    assert [problem.key for problem in alone.missing_files()] == ["chat_template"]
    template.write_text("{{ messages }}")
    assert alone.missing_files() == []
