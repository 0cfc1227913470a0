"""The model to train."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pacos.config import Init, ModelConfig
from pacos.models import model_directory
from pacos.run_dir import derived_seed
from sft import cpu_bf16
from sft.config import Precision, SFTConfig

DTYPES = {Precision.bf16: torch.bfloat16, Precision.fp32: torch.float32}


def build_model(config: SFTConfig, tokenizer: Any, device: torch.device) -> Any:
    """Load or draw the weights, ready to train on `device`."""
    dtype = DTYPES[config.precision]
    model: Any
    if config.model.init is Init.random:
        model = _random_model(config.model, derived_seed(config.seed, "weights"), dtype)
    else:
        model = AutoModelForCausalLM.from_pretrained(
            model_directory(config.model.path), revision=config.model.revision, dtype=dtype
        )
    model.config.use_cache = False
    model.config.pad_token_id = tokenizer.pad_token_id
    if config.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if cpu_bf16.is_needed(device, dtype):
        cpu_bf16.widen(model)
    model.train()
    return model.to(device)


def _random_model(config: ModelConfig, seed: int, dtype: torch.dtype) -> Any:
    shape = config.shape
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=shape.vocab_size,
                hidden_size=shape.hidden_size,
                intermediate_size=shape.intermediate_size,
                num_hidden_layers=shape.num_hidden_layers,
                num_attention_heads=shape.num_attention_heads,
                num_key_value_heads=shape.num_key_value_heads,
                max_position_embeddings=shape.max_position_embeddings,
                tie_word_embeddings=shape.tie_word_embeddings,
            )
        )
    return model.to(dtype)
