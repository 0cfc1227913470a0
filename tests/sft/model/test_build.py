"""What building a model refuses before it reads any weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from pacos.configs.model import ModelConfig
from pacos.errors import UserError
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


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        (MistralConfig(**SIZES, sliding_window=8), "MistralForCausalLM (model_type mistral)"),
        (MistralConfig(**SIZES, sliding_window=None), "MistralForCausalLM (model_type mistral)"),
        (Qwen2Config(**SIZES), "Qwen2ForCausalLM (model_type qwen2)"),
        (Qwen3Config(**SIZES, head_dim=8), "Qwen3ForCausalLM (model_type qwen3)"),
        (Gemma2Config(**SIZES, head_dim=8), "Gemma2ForCausalLM (model_type gemma2)"),
    ],
)
def test_an_architecture_that_would_train_on_wrong_losses_is_refused(
    architecture: PreTrainedConfig, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, architecture)
    monkeypatch.delattr(build, "load_weights")  # nothing of it may be read
    with pytest.raises(UserError) as refused:
        build.build_model(config, byte_tokenizer(), torch.device("cpu"))
    assert str(refused.value).startswith(
        f"model.path = {tmp_path}: {name} cannot be trained; choose a model of a supported "
        "architecture: LlamaForCausalLM (model_type llama)"
    )
    assert str(refused.value) in map(str, config.missing_files())


def test_dropout_that_no_kernel_computes_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, LlamaConfig(**SIZES, attention_dropout=0.1))
    with pytest.raises(UserError, match=r"attention_dropout = 0\.1.* set it to 0"):
        build.build_model(config, byte_tokenizer(), torch.device("cpu"))
