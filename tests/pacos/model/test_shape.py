from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

from pacos.model.architectures import ARCHITECTURES, ModelType
from pacos.model.shape import ModelShape, differences, shape_of
from tests.conftest import ROOT

MODELS = sorted((ROOT / "conf" / "model").glob("*.yaml"))
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
OPTIONS = [
    {},
    {"head_dim": 12},
    {"tie_word_embeddings": True},
    {"attention_bias": True},
    {"mlp_bias": True},
]


def unique_parameters(settings: dict[str, Any]) -> int:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings))
    return sum({id(each): each.numel() for each in model.parameters()}.values())


def shipped(path: Path) -> ModelShape:
    sizes = yaml.safe_load(path.read_text())["shape"]
    kind = ModelType(sizes.pop("model_type", "llama"))
    return ModelShape(model_type=kind, **sizes)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_parameter_count_of_shipped_models_equals_that_of_transformers(path: Path) -> None:
    shape = shipped(path)
    settings = {"model_type": shape.model_type.value, **shape.settings()}
    assert shape.num_parameters() == unique_parameters(settings)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ModelType)
def test_every_option_of_every_family_is_counted(kind: ModelType, options: dict[str, Any]) -> None:
    known = {key: options[key] for key in options if key in ARCHITECTURES[kind].defaults}
    settings = {"model_type": kind.value, **SMALL, **known}
    assert shape_of(settings).num_parameters() == unique_parameters(settings)


@pytest.mark.parametrize("kind", ModelType)
def test_absent_keys_mean_what_they_mean_in_transformers(kind: ModelType) -> None:
    row, config = ARCHITECTURES[kind], AutoConfig.for_model(kind.value)
    found = {
        key: getattr(config, key)
        for key in shape_of({"model_type": kind.value}).settings()
        if hasattr(config, key)
    }
    expected = shape_of({"model_type": kind.value}).settings()
    assert found == {key: expected[key] for key in found}
    raw = type(config).__dataclass_fields__
    assert {key: raw[key].default for key in row.window} == row.window
    assert AutoModelForCausalLM._model_mapping[type(config)].__name__ == row.class_name


def test_a_shape_knows_where_another_one_differs() -> None:
    shape = ModelShape()
    assert differences(shape, ModelShape(head_dim=128)) == {}
    other = ModelShape(hidden_size=64, num_hidden_layers=2, head_dim=128)
    assert differences(shape, other) == {
        "hidden_size": (4096, 64),
        "num_hidden_layers": (32, 2),
    }


def test_flops_follow_the_convention() -> None:
    shape = ModelShape()
    products = shape.num_parameters() - shape.vocab_size * shape.hidden_size
    assert shape.training_flops(tokens=10, squared_lengths=0) == 60 * products
    attention = shape.training_flops(10, 100) - shape.training_flops(10, 0)
    assert attention == 12 * 32 * 4096 * 100
