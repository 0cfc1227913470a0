"""The license policy of the commands: problems of a whole command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.config import SCHEMAS, PipelineConfig
from pacos.configs.compose import compose_checked
from pacos.configs.license import LicensePolicy, WaiverConfig, terms_record
from pacos.configs.stage import StageConfig
from pacos.errors import ConfigError, Problem
from pacos.terms.combine import PACOS, Input, Role
from selfinstruct.config import SelfInstructConfig
from sft.config import SFTConfig


def problems(schema: type[StageConfig], *overrides: str) -> list[Problem]:
    try:
        compose_checked(schema, SCHEMAS, overrides)
    except ConfigError as error:
        return [*error.problems]
    return []


def keys(schema: type[StageConfig], *overrides: str) -> list[str]:
    return [problem.key for problem in problems(schema, *overrides)]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    return f"data.path={path}"


def test_all_conflicts_are_named_with_the_other_problems(rows: str) -> None:
    found = keys(
        SFTConfig,
        rows,
        *("model=llama2_7b", "model.license=llama1", "data.terms=llama3", "epochs=0"),
        "license_policy=commercial",
    )
    assert found == ["epochs", "model.license", "data.terms"]


def test_terms_of_one_source_of_a_mixture_have_a_key_of_their_own(
    rows: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"instruction": "c", "output": "d"}\n')
    mixed = f"+data.mix={{{other}: {{weight: 1, terms: anthropic-output}}}}"
    found = problems(SFTConfig, rows, "model=tiny", "data.terms=mit", mixed)
    assert [problem.key for problem in found] == [f"data.mix.{other}.terms"]
    assert "without authorization" in found[0].fault


def test_generation_checks_seeds_and_outputs() -> None:
    overrides = ["generator.terms=google-output", "license_policy=commercial"]
    assert keys(SelfInstructConfig, *overrides) == ["generator.terms"]
    assert keys(SelfInstructConfig, *overrides[:1]) == []


def test_a_pipeline_knows_that_the_outputs_will_train_its_weights() -> None:
    teacher = "selfinstruct.generator.terms=llama2"
    [problem] = problems(PipelineConfig, teacher)
    assert problem.key == "selfinstruct.generator.terms"
    assert "smollm2_135m (apache-2.0)" in problem.fault
    assert problems(PipelineConfig, teacher, "sft.model.license=llama2") == []


def test_a_pipeline_names_each_conflict_once_and_has_one_policy() -> None:
    weights = ["sft.model.license=llama1", "license_policy=commercial"]
    assert keys(PipelineConfig, *weights) == ["sft.model.license"]
    assert keys(PipelineConfig, "license_waiver.by=Kim") == [
        "license_waiver.what",
        "license_waiver.why",
    ]
    assert keys(PipelineConfig, "sft.license_policy=none") == ["sft.license_policy"]
    config = compose_checked(PipelineConfig, SCHEMAS, ["license_policy=commercial"])
    generation, training, _ = config.stages(Path("runs/p"))
    assert generation.license_policy is training.license_policy is LicensePolicy.commercial


def test_a_model_of_an_earlier_run_brings_the_terms_of_its_rows(rows: str, tmp_path: Path) -> None:
    run = tmp_path / "earlier"
    (run / "model").mkdir(parents=True)
    (run / "model" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    works = [
        Input(Role.weights, "base", "apache-2.0", ""),
        Input(Role.data, "chats.jsonl", "openai-output", ""),
        PACOS,
    ]
    record = terms_record(works, LicensePolicy.research, WaiverConfig())
    (run / "manifest.json").write_text(json.dumps({"stage": "sft", "terms": record}))
    overrides = [rows, "model=smollm2_135m", f"model.path={run / 'model'}"]
    found = [
        problem
        for problem in problems(SFTConfig, *overrides, "license_policy=commercial")
        if "license_policy" in problem.fault
    ]
    assert [problem.key for problem in found] == ["model.path"]
    assert "chats.jsonl (openai-output)" in found[0].fault
