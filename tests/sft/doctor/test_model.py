"""The model's files, class and attention: checks pass, and fail on the fault that they are for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pacos.configs.model import Init
from sft.config import SFTConfig
from sft.doctor import model
from sft.model import attention as attention_module
from tests.sft.doctor.failing import failure
from tests.sft.small_runs import SHAPE


@pytest.fixture
def pretrained(config: SFTConfig, tmp_path: Path) -> SFTConfig:
    """With weights in several files."""
    from transformers import AutoConfig, LlamaForCausalLM

    folder = tmp_path / "model"
    architecture: Any = AutoConfig.from_pretrained(folder)
    LlamaForCausalLM(architecture).save_pretrained(folder, max_shard_size="50KB")
    config.model.init = Init.pretrained
    return config


def edit_config(config: SFTConfig, **values: Any) -> None:
    path = Path(config.model.path) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_model_that_is_whole(pretrained: SFTConfig) -> None:
    assert "weight files" in model.model_class(pretrained)


def test_a_model_of_another_class(pretrained: SFTConfig) -> None:
    edit_config(pretrained, model_type="granite")
    message = failure(lambda: model.model_class(pretrained))
    assert "(model_type granite) cannot be trained" in message
    assert "LlamaForCausalLM (model_type llama)" in message


def test_a_shape_that_is_not_the_model_s(pretrained: SFTConfig) -> None:
    pretrained.model.shape = dataclasses.replace(SHAPE, num_hidden_layers=3)
    said = failure(lambda: model.model_class(pretrained))
    assert "model.shape = num_hidden_layers=3: is not that of" in said
    assert "set model.shape.num_hidden_layers=2" in said


def test_a_model_with_a_missing_file(pretrained: SFTConfig) -> None:
    first = sorted(Path(pretrained.model.path).glob("model-*.safetensors"))[0]
    first.unlink()
    said = failure(lambda: model.model_class(pretrained))
    assert first.name in said
    assert "weight files are missing" in said


def contaminating_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: Any, longest: int, scale: Any
) -> torch.Tensor:
    """Sees the documents before its own, as a mask that is dropped lets it."""
    parts = [tensor.transpose(0, 1)[None] for tensor in (query, key, value)]
    output = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True, scale=scale)
    return output[0].transpose(0, 1)


def test_attention_that_mixes_documents(config: SFTConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.attention(config).startswith("packed = separate by sdpa in bfloat16 on the CPU")
    monkeypatch.setattr(attention_module, "sdpa_kernel", contaminating_kernel)
    said = failure(lambda: model.attention(config))
    assert "attention = auto: sdpa is wrong on cpu: the gradient of a pack differs" in said
