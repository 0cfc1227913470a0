"""Small random models of every kind that is trained, and their exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pacos.configs.model import Init
from pacos.distributed import World
from sft.export.writer import Origin, write_model
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.small_runs import small_config

SIZES = {
    "vocab_size": 259,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    # Heads of 32 numbers: the smallest that vLLM computes.
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}

KINDS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "llama1": ("llama", {}),
    "llama3": ("llama", {"rope_theta": 500_000.0, "rope_scaling": LLAMA3}),
    "tied": ("llama", {"tie_word_embeddings": True, "rope_theta": 500_000.0}),
    "linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "yarn": ("llama", {"rope_theta": 100_000.0, "rope_scaling": YARN}),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "head_dim": ("llama", {"head_dim": 64}),
    "mistral": ("mistral", {"rope_theta": 1e6, "sliding_window": None}),
    "qwen2": ("qwen2", {"rope_theta": 1e6, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"rope_theta": 1e6, "head_dim": 64}),
}
"""Model type, and the keys of config.json under their names of 2024."""

SAMPLING = {"do_sample": True, "temperature": 0.6, "top_p": 0.9}


class Loaded:
    """The weights of a model in memory."""

    def __init__(self, model: Any) -> None:
        self._parameters = dict(model.named_parameters())
        self.sizes = {name: each.numel() for name, each in self._parameters.items()}

    def read(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        return self._parameters[name].detach().to(dtype).contiguous()


def small_model(kind: str, **sizes: int) -> Any:
    """A model whose logits are large enough to tell from others."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    model_type, changes = KINDS[kind]
    config = AutoConfig.for_model(model_type, **{**SIZES, **changes, **sizes})
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for parameter in model.parameters():
            matrix = parameter.ndim == 2
            parameter.data += torch.randn_like(parameter) * (0.25 if matrix else 0.1)
    stop, other = byte_tokenizer().convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model.generation_config = GenerationConfig(**SAMPLING, eos_token_id=[other, stop])
    return model


def export_small(folder: Path, kind: str, model: Any, *, tokenizer: Any = None) -> Path:
    """Export a model of `small_model` as fp32."""
    config = small_config(folder, "run")
    config.model.init = Init.pretrained
    out = folder / kind
    write_model(
        out,
        model,
        Loaded(model),
        tokenizer or byte_tokenizer(),
        config,
        "# card\n",
        Origin(run="run", identity="", data="", step=0, dtype="fp32"),
        world=World(rank=0, size=1, local_rank=0),
    )
    return out
