"""Checks on the model: its architecture, its files and its attention."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pacos.configs.model import Init
from pacos.errors import UserError
from pacos.model.architectures import require_trainable
from pacos.model.loading import model_directory
from sft.config import SFTConfig
from sft.engine.device import choose_device


def model_class(config: SFTConfig) -> str:
    """Check that the model is a LLaMA of the config's shape, with all of its weight files."""
    from transformers import AutoConfig

    from sft.model.weights import weight_files

    if config.model.init is Init.random:
        return f"LlamaForCausalLM of {_size(config)} with random weights"
    folder = Path(model_directory(config.model.path, config.model.revision))
    architecture = require_trainable(folder, "model.path", config.model.path)
    loaded: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    differences = [
        f"model.shape.{name} = {value} instead of {getattr(loaded, name)}"
        for name, value in dataclasses.asdict(config.model.shape).items()
        if getattr(loaded, name) != value
    ]
    if differences:
        raise UserError(
            f"model.shape is not that of {config.model.path}: {'; '.join(differences)}; memory "
            "plans and utilization would be wrong: set these keys to the model's own values"
        )
    files = weight_files(folder)
    return f"{architecture.class_name} of {_size(config)}, {len(files)} weight files"


def _size(config: SFTConfig) -> str:
    return f"{config.model.shape.num_parameters() / 1e9:.3g}B parameters"


def attention(config: SFTConfig) -> str:
    """Check that the run's attention on its device keeps the documents of a pack apart."""
    import torch

    device = torch.device(choose_device(config.cluster))
    # These import DeepSpeed, which picks its device at import: after choose_device.
    from sft.model.attention_check import choose_attention
    from sft.model.build import DTYPES

    dtype = DTYPES[config.precision]
    chosen = choose_attention(config.attention, config.model.shape, device, dtype, None)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    number_format = str(dtype).removeprefix("torch.")
    return f"packed = separate by {chosen.name.value} in {number_format} on {name}"
