"""What building a model refuses before it reads any weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
)

from pacos.configs.model import Init, ModelConfig
from pacos.errors import UserError
from pacos.model.architectures import ModelType
from pacos.model.shape import ModelShape
from sft.config import SFTConfig
from sft.model import build
from tests.sft.byte_tokenizer import byte_tokenizer

SIZES = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def config_of(folder: Path, architecture: PreTrainedConfig) -> SFTConfig:
    """A run on a model with random weights, saved as any user would."""
    model: Any = AutoModelForCausalLM.from_config(architecture)
    model.save_pretrained(folder)
    return SFTConfig(model=ModelConfig(path=str(folder)))


def refusal(config: SFTConfig, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delattr(build, "load_weights")  # nothing of it may be read
    with pytest.raises(UserError) as refused:
        build.build_model(config, byte_tokenizer(), torch.device("cpu"))
    said = str(refused.value)
    assert set(said.splitlines()) <= set(map(str, config.missing_files()))
    return said


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        (GraniteConfig(**SIZES), "GraniteForCausalLM (model_type granite)"),
        (Gemma2Config(**SIZES, head_dim=8), "Gemma2ForCausalLM (model_type gemma2)"),
    ],
)
def test_an_architecture_that_would_train_on_wrong_losses_is_refused(
    architecture: PreTrainedConfig, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal(config_of(tmp_path, architecture), monkeypatch)
    assert said.startswith(
        f"model.path = {tmp_path}: {name} cannot be trained; choose a model of a supported "
        "architecture: LlamaForCausalLM (model_type llama)"
    )


def test_dropout_that_no_kernel_computes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, LlamaConfig(**SIZES, attention_dropout=0.1))
    assert "attention_dropout = 0.1" in refusal(config, monkeypatch)


def test_rows_beyond_the_window_and_another_shape_are_refused_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, MistralConfig(**SIZES, sliding_window=8))
    said = refusal(config, monkeypatch)
    assert "model.shape.model_type=mistral" in said
    assert f"data.max_length = {config.data.max_length}: {tmp_path} has sliding_window = 8" in said


def test_random_weights_take_the_shape_of_the_config(tmp_path: Path) -> None:
    for kind in ModelType:
        shape = ModelShape(model_type=kind, head_dim=12, **SIZES)
        config = SFTConfig(model=ModelConfig(path="x", init=Init.random, shape=shape))
        model = build.build_model(config, byte_tokenizer(), torch.device("cpu"))
        assert model.config.model_type == kind.value
        assert sum(each.numel() for each in model.parameters()) == shape.num_parameters()
