from pathlib import Path

import pytest

from launch.config import SCHEMAS, PipelineConfig
from pacos.configs.compose import compose_checked
from pacos.configs.frozen import freeze, load_frozen
from pacos.errors import ConfigError, UserError
from sft.config import SFTConfig


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    return f"data.path={path}"


def problems(*overrides: str, schema: type = SFTConfig) -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        compose_checked(schema, SCHEMAS, overrides)
    return {problem.key: f"{problem.fault}; {problem.remedy}" for problem in error.value.problems}


def test_problems_of_every_kind_are_reported_together(rows: str) -> None:
    found = problems(
        rows,
        "optimzer.lr=1e-5",
        "optimizer.lr=fast",
        "model=llama9",
        "epochs=[1",
        "batch.tokens=2048",
        "cluster.ranks_per_node=4",
        "data.max_length=1024",
        "deepspeed.stage=2",
        "deepspeed.offload_parameters=cpu",
    )
    assert "did you mean optimizer.lr" in found["optimzer.lr"]
    assert "Float" in found["optimizer.lr"]
    assert "smollm2_135m" in found["model"]
    assert "KEY=VALUE" in found["override"]
    assert "cannot be divided" in found["batch.tokens"]
    assert "needs stage 3" in found["deepspeed.offload_parameters"]


@pytest.mark.parametrize("override", ["data.mix.more=2", "data.mix={more:2}"])
def test_a_new_name_is_added_with_a_plus(rows: str, override: str) -> None:
    found = problems(rows, override)
    assert "write +data.mix.NAME=VALUE" in found[override.partition("=")[0]]


def test_a_missing_value_does_not_hide_other_problems() -> None:
    found = problems("data.max_length=9000")
    assert "is required" in found["data.path"]
    assert "at most 8192" in found["data.max_length"]


@pytest.mark.parametrize(
    ("override", "key", "says"),
    [
        ("model.path=./nowhere", "model.path", "no such model directory"),
        ("model.path=embedded:gpt", "model.path", "no such embedded model"),
        ("batch.rows=8", "batch.rows, batch.tokens", "exactly one"),
        ("cluster.nodes=2", "cluster.nodes", "this machine only"),
        ("optimizer.lr=0", "optimizer.lr", "above 0"),
        ("schedule.warmup_ratio=1", "schedule.warmup_ratio", "share"),
        ("deepspeed.stage=5", "deepspeed.stage", "choose 0 to 3"),
        ("max_steps=0", "max_steps", "at least 1"),
    ],
)
def test_impossible_values(rows: str, override: str, key: str, says: str) -> None:
    assert says in problems(rows, override)[key]


def test_in_a_pipeline_a_group_is_pointed_to_its_stage() -> None:
    found = problems("model=tiny", "sft.optimizer.lr=x", schema=PipelineConfig)
    assert "model@sft.model" in found["model"]
    assert "Float" in found["sft.optimizer.lr"]


def test_an_experiment_of_another_command_is_told_apart() -> None:
    found = problems("experiment=alpaca_7b", schema=PipelineConfig)
    assert "another command" in found["experiment"]


def test_a_pipeline_reports_its_stages_under_their_names() -> None:
    found = problems("sft.epochs=0", "eval.limit=0", schema=PipelineConfig)
    assert set(found) == {"sft.epochs", "eval.limit"}


def test_a_frozen_config_is_read_back_as_it_was(rows: str, tmp_path: Path) -> None:
    config = compose_checked(SFTConfig, SCHEMAS, [rows, "experiment=alpaca_7b"])
    freeze(config, tmp_path / "config.yaml")
    assert load_frozen(tmp_path / "config.yaml", SFTConfig) == config


def test_a_file_that_is_no_config_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("colour: red\n")
    with pytest.raises(UserError, match=r"config\.yaml"):
        load_frozen(path, SFTConfig)
