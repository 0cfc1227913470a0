"""Checks on the model: its architecture, its files and its attention."""

from __future__ import annotations

from pathlib import Path

from pacos.configs.model import Init
from pacos.model.architectures import ARCHITECTURES
from pacos.model.loading import model_directory
from pacos.model.trainable import require_trainable, unknown_keys
from sft.config import SFTConfig
from sft.engine.device import choose_device


def model_class(config: SFTConfig) -> str:
    """Check that sft trains the model, that its shape is the config's, and that it is whole."""
    from sft.model.weights import weight_files

    if config.model.init is Init.random:
        name = ARCHITECTURES[config.model.shape.model_type].class_name
        return f"{name} of {_size(config)} with random weights"
    folder = Path(model_directory(config.model.path, config.model.revision))
    model, max_length = config.model, config.data.max_length
    architecture = require_trainable(folder, model.path, model.shape, max_length)
    files, unknown = weight_files(folder), unknown_keys(folder)
    ignored = f"; ignored in config.json: {', '.join(unknown)}" if unknown else ""
    return f"{architecture.class_name} of {_size(config)}, {len(files)} weight files{ignored}"


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
