"""The shape of a model directory: read, unless the user set it, and then compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.config import SCHEMAS, PipelineConfig
from pacos.configs.compose import compose_checked
from pacos.errors import ConfigError
from pacos.model.architectures import ModelType
from pacos.model.shape import ModelShape
from sft.config import SFTConfig

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", **SIZES}))
    (tmp_path / "rows.jsonl").touch()
    return ["model=llama3_1_8b", f"model.path={tmp_path}", f"data.path={tmp_path}/rows.jsonl"]


def test_another_path_brings_its_own_shape(words: list[str]) -> None:
    shape = compose_checked(SFTConfig, SCHEMAS, words).model.shape
    assert shape.model_type is ModelType.qwen3
    assert shape.hidden_size == 64
    assert shape.num_hidden_layers == 32, "the default of the family"


def test_a_shape_that_was_set_must_agree(words: list[str]) -> None:
    agreed = compose_checked(SFTConfig, SCHEMAS, [*words, "model.shape.hidden_size=64"])
    assert agreed.model.shape == compose_checked(SFTConfig, SCHEMAS, words).model.shape
    for override in ("model.shape.hidden_size=128", "model.shape={hidden_size:128}"):
        with pytest.raises(ConfigError, match=r"hidden_size=128.*: is not that of .*config.json"):
            compose_checked(SFTConfig, SCHEMAS, [*words, override])


def test_random_weights_have_the_shape_of_the_config(words: list[str]) -> None:
    config = compose_checked(SFTConfig, SCHEMAS, [*words, "model.init=random"])
    assert config.model.shape.hidden_size == 4096


def test_a_pipeline_reads_it_too(words: list[str]) -> None:
    (choice, path, _) = words
    words = ["experiment=demo", choice.replace("model=", "model@sft.model="), f"sft.{path}"]
    assert compose_checked(PipelineConfig, SCHEMAS, words).sft.model.shape.hidden_size == 64
    with pytest.raises(ConfigError, match=r"sft.model.shape = hidden_size=128"):
        compose_checked(PipelineConfig, SCHEMAS, [*words, "sft.model.shape.hidden_size=128"])


def test_a_path_elsewhere_keeps_the_shape_of_its_config() -> None:
    words = ["model=llama3_1_8b", "data.path=owner/rows", "license_policy=none"]
    shape = compose_checked(SFTConfig, SCHEMAS, words).model.shape
    assert shape != ModelShape()
    assert shape.num_key_value_heads == 8
