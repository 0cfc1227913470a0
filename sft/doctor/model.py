"""Proofs about the model: its class, its files, its attention."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pacos.configs.shared import Init
from pacos.errors import UserError
from pacos.model.loading import model_directory
from sft.config import SFTConfig
from sft.engine.device import choose_device


def model_class(config: SFTConfig) -> str:
    """The model is a LLaMA of the shape that the config says, and no file of it is missing."""
    from transformers import AutoConfig

    from sft.model.weights import weight_files

    if config.model.init is Init.random:
        return f"LlamaForCausalLM of {_size(config)} with random weights"
    folder = Path(model_directory(config.model.path, config.model.revision))
    found: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if found.model_type != "llama":
        raise UserError(
            f"model.path = {config.model.path}: its architecture is {found.model_type}, and only "
            "llama is trained; name a LLaMA model"
        )
    wrong = [
        f"model.shape.{name} = {value}, there {getattr(found, name)}"
        for name, value in dataclasses.asdict(config.model.shape).items()
        if getattr(found, name) != value
    ]
    if wrong:
        raise UserError(
            f"the shape in the config is not that of {config.model.path}: {'; '.join(wrong)}; "
            "plans and utilisation would be wrong: set these keys as they are there"
        )
    files = weight_files(folder)
    return f"LlamaForCausalLM of {_size(config)}, {len(files)} weight files"


def _size(config: SFTConfig) -> str:
    return f"{config.model.shape.num_parameters() / 1e9:.3g}B parameters"


def attention(config: SFTConfig) -> str:
    """A pack is the sum of its documents, by the attention and on the device of the run."""
    import torch

    device = torch.device(choose_device(config.cluster))
    from sft.model.attention_check import choose_attention
    from sft.model.build import DTYPES

    dtype = DTYPES[config.precision]
    chosen = choose_attention(config.attention, config.model.shape, device, dtype, None)
    form = str(dtype).removeprefix("torch.")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    return f"packed = separate by {chosen.name.value} in {form} on {where}"
