"""The choices of how the model computes: number formats, attention, activation checkpointing."""

from __future__ import annotations

from enum import Enum

CHUNK_LOGITS = 2**26
"""Logits that the loss computes at a time: 256 MiB in fp32. All logits of 8,192 positions with
LLaMA-3's vocabulary of 128,256 would be 4.2 GB, and the plain loss holds three such tensors."""


class Precision(Enum):
    """The number format of weights and activations, and of the optimizer's states."""

    bf16 = "bf16"
    bf16_states = "bf16_states"
    fp32 = "fp32"


class ActivationCheckpointing(Enum):
    """The part of the forward pass that the backward pass recomputes."""

    none = "none"
    selective = "selective"
    full = "full"


class Attention(Enum):
    """The implementation of attention."""

    auto = "auto"
    flash = "flash"
    kernels = "kernels"
    sdpa = "sdpa"
