"""Config of how the model computes: the format of its numbers, and what it keeps of them."""

from __future__ import annotations

from enum import Enum

CHUNK_LOGITS = 2**26
"""Logits that exist at one time: 256 MiB in fp32. All of them, for 8,192 positions and LLaMA-3's
vocabulary of 128,256, would be 4.2 GB, and the plain loss holds three such tensors."""


class Precision(Enum):
    """Number format of weights and activations, and of what the optimizer keeps."""

    bf16 = "bf16"
    bf16_states = "bf16_states"
    fp32 = "fp32"


class ActivationCheckpointing(Enum):
    """How much of the forward pass is computed a second time in the backward pass."""

    none = "none"
    selective = "selective"
    full = "full"


class Attention(Enum):
    """Which implementation computes attention."""

    auto = "auto"
    flash = "flash"
    kernels = "kernels"
    sdpa = "sdpa"
