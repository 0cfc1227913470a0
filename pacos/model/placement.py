"""The GPUs that hold a model: one, or several that its layers are spread over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pacos.division import ceil_div
from pacos.errors import UserError
from pacos.model.protocols import CausalLM

if TYPE_CHECKING:
    import torch

WEIGHTS_SHARE = 0.85
"""Share of a GPU's memory for weights. The rest is for keys, values, activations and logits: 12 GB
of an 80 GB GPU."""


def gpus_needed(folder: str, dtype: torch.dtype) -> int:
    """Return the fewest GPUs of this machine whose memory holds a model's weights in a dtype.

    Args:
        folder: directory of the model.
        dtype: dtype of the weights once loaded.

    Raises:
        OSError, ValueError: the directory is not that of a model.
    """
    return ceil_div(weight_bytes(folder, dtype), int(WEIGHTS_SHARE * gpu_bytes(0)))


def gpu_bytes(index: int) -> int:
    """Return the memory of a GPU, used or not: a number that all ranks agree on."""
    import torch

    return int(torch.cuda.get_device_properties(index).total_memory)


def weight_bytes(folder: str, dtype: torch.dtype) -> int:
    """Return the bytes of a model's weights in a dtype; those of its files if it is quantized."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if getattr(config, "quantization_config", None) is not None:
        return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))
    # Without memory or values: the shapes decide, whatever dtype the files have.
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return int(dtype.itemsize * sum(parameter.numel() for parameter in model.parameters()))


def load_causal_lm(
    folder: str, dtype: torch.dtype, devices: Sequence[torch.device], **options: Any
) -> CausalLM:
    """Load a model onto one device, or spread it over GPUs, whole layers on each.

    A spread model is called like any other: accelerate moves what its layers pass on. One GPU
    computes at a time.

    Args:
        folder: directory of the model.
        dtype: dtype of the weights once loaded.
        devices: one device, or GPUs.
        options: further options of `from_pretrained`.

    Raises:
        OSError, ValueError: the directory is not that of a model.
        UserError: the GPUs' memory does not hold the weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    spread: dict[str, Any] = {}
    if len(devices) > 1:
        memory = {device.index: gpu_bytes(device.index) for device in devices}
        spread = {"device_map": "auto", "max_memory": memory}
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, trust_remote_code=False, **spread, **options
        )
        model = cast(CausalLM, loaded)
        return model if spread else model.to(devices[0])
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{folder}: its weights do not fit into the memory of {len(devices)} GPUs, some of "
            "which other programs use; spread it over more, or free them"
        ) from error
