from pathlib import Path

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from pacos.model.shape import LlamaShape
from tests.conftest import ROOT

MODELS = sorted((ROOT / "conf" / "model").glob("*.yaml"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_parameter_count_equals_that_of_transformers(path: Path) -> None:
    sizes = yaml.safe_load(path.read_text())["shape"]
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**sizes))
    unique = {id(parameter): parameter.numel() for parameter in model.parameters()}
    assert LlamaShape(**sizes).num_parameters() == sum(unique.values())


def test_flops_follow_the_convention() -> None:
    shape = LlamaShape()
    products = shape.num_parameters() - shape.vocab_size * shape.hidden_size
    assert shape.training_flops(tokens=10, squared_lengths=0) == 60 * products
    attention = shape.training_flops(10, 100) - shape.training_flops(10, 0)
    assert attention == 12 * 32 * 4096 * 100
