"""Every shipped config composes, has its schema's type and passes its own checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from eval.config import EvalConfig
from launch.config import SCHEMAS, PipelineConfig
from launch.plan.estimate import Estimate, MemoryFit
from launch.plan.machine import machine_of
from pacos.configs.compose import compose_checked
from pacos.configs.stage import StageConfig
from pacos.prompts.formats import PromptFormat
from selfinstruct.config import SelfInstructConfig
from sft.config import SFTConfig
from sft.configs.deepspeed import Offload
from sft.estimate.workload import Epoch
from tests.conftest import ROOT

CONF = ROOT / "conf"
STAGE_OF_GROUP: dict[str, type[StageConfig]] = {
    "model": SFTConfig,
    "data": SFTConfig,
    "deepspeed": SFTConfig,
    "cluster": SFTConfig,
    "tracking": SFTConfig,
    "method": SelfInstructConfig,
    "generator": SelfInstructConfig,
    "judge": SelfInstructConfig,
    "suite": EvalConfig,
}
STAGE_OF_EXPERIMENT: dict[str, type[StageConfig]] = {"demo": PipelineConfig, "alpaca_7b": SFTConfig}
NEEDED = {
    ("generator", "server"): ["generator.endpoint.model=mine", "generator.terms=unknown"],
    ("suite", "user"): ["suite.folder=."],
    ("generator", "vllm"): ["generator.endpoint.model=mine", "generator.terms=unknown"],
    ("judge", "server"): ["judge.endpoint.model=mine"],
    ("judge", "azure"): ["judge.endpoint.url=https://x.azure.com", "judge.endpoint.model=d"],
    ("generator", "azure"): [
        "generator.endpoint.url=https://x.azure.com",
        "generator.endpoint.model=d",
    ],
}
"""What an option leaves to the user."""
OPTIONS = [
    (group, option.stem)
    for group in STAGE_OF_GROUP
    for option in sorted((CONF / group).glob("*.yaml"))
]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in (CONF / "endpoint").glob("*.yaml"):
        variable = yaml.safe_load(endpoint.read_text()).get("api_key_env")
        if variable is not None:
            monkeypatch.setenv(variable, "none")


@pytest.fixture
def required(tmp_path: Path) -> dict[type[StageConfig], list[str]]:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    problems = tmp_path / "humaneval" / "HumanEval.jsonl.gz"
    problems.parent.mkdir()
    problems.touch()
    return {
        SFTConfig: [f"data.path={rows}"],
        EvalConfig: ["target=embedded:smollm2-135m-instruct", f"suite.data_dir={tmp_path}"],
        SelfInstructConfig: [],
        PipelineConfig: [],
    }


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda name: name)
def test_every_option_of_every_group(
    group: str, option: str, required: dict[type[StageConfig], list[str]]
) -> None:
    schema = STAGE_OF_GROUP[group]
    more = NEEDED.get((group, option), [])
    config = compose_checked(schema, SCHEMAS, [*required[schema], f"{group}={option}", *more])
    chosen = getattr(config, group)
    assert getattr(chosen, "name", option) == option or group == "generator"


@pytest.mark.parametrize("schema", [SelfInstructConfig, SFTConfig, EvalConfig, PipelineConfig])
def test_every_primary_config(
    schema: type[StageConfig], required: dict[type[StageConfig], list[str]]
) -> None:
    assert isinstance(compose_checked(schema, SCHEMAS, required[schema]), schema)


def test_every_experiment(required: dict[type[StageConfig], list[str]]) -> None:
    shipped = {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    assert shipped == set(STAGE_OF_EXPERIMENT)
    for name, schema in STAGE_OF_EXPERIMENT.items():
        compose_checked(schema, SCHEMAS, [*required[schema], f"experiment={name}"])


def test_alpaca_7b_is_the_published_recipe(required: dict[type[StageConfig], list[str]]) -> None:
    config = compose_checked(SFTConfig, SCHEMAS, [*required[SFTConfig], "experiment=alpaca_7b"])
    assert config.batch.rows == 128
    assert config.optimizer.lr == 2e-5
    assert config.optimizer.weight_decay == 0.0
    assert config.epochs == 3
    assert config.data.max_length == 512
    assert config.schedule.warmup_ratio == 0.03
    assert config.model.prompt_format is PromptFormat.alpaca
    assert config.cluster.world_size() == 8


GPUS = (1, 8, 16, 32, 64)
SMALL = ("llama2_7b", "llama3_1_8b", "llama2_13b", "mistral_7b", "qwen2_5_7b", "qwen3_8b")
LARGE = ("llama2_70b", "llama3_1_70b", "llama3_3_70b", "qwen3_32b")
READY = [
    (model, gpus, f"gpus_{gpus}{suffix}")
    for models, suffix in ((SMALL, ""), (LARGE, "_70b"))
    for model in models
    for gpus in GPUS
]


@pytest.mark.parametrize(("model", "gpus", "hardware"), READY)
def test_every_size_fits_every_number_of_gpus(
    required: dict[type[StageConfig], list[str]], model: str, gpus: int, hardware: str
) -> None:
    more = ["deepspeed.nvme_path=/disk"] if hardware == "gpus_1_70b" else []
    config = compose_checked(
        SFTConfig,
        SCHEMAS,
        [*required[SFTConfig], f"model={model}", f"hardware={hardware}", "cluster.gpu=H100", *more],
    )
    assert config.cluster.world_size() == gpus
    assert config.batch.tokens == 131_072, "hardware changes no result"
    full = Epoch.of(config, np.full(2000, config.data.max_length))
    assert Estimate.of(config, full, machine_of(config.cluster)).device_fit is MemoryFit.fits


def test_hardware_tells_all_its_options() -> None:
    shipped = {path.stem for path in (CONF / "hardware").glob("*.yaml")}
    assert shipped == {hardware for _, _, hardware in READY}
    for name in shipped:
        reason = (CONF / "hardware" / f"{name}.yaml").read_text().splitlines()[1]
        assert reason.startswith("# "), f"{name}: the reason is missing"


def test_an_experiment_runs_on_other_hardware(
    required: dict[type[StageConfig], list[str]],
) -> None:
    config = compose_checked(
        SFTConfig, SCHEMAS, [*required[SFTConfig], "experiment=alpaca_7b", "hardware=gpus_1"]
    )
    assert config.cluster.world_size() == 1
    assert config.deepspeed.offload_optimizer is Offload.cpu
    assert config.batch.rows == 128
    assert config.batch.tokens is None


def test_every_folder_of_conf_is_a_known_group() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {*STAGE_OF_GROUP, "experiment", "hardware", "endpoint", "search", "where"}
