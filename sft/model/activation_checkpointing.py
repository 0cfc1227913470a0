"""Activation checkpointing: which activations are computed a second time in the backward pass."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from sft.configs.compute import ActivationCheckpointing

PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default}
"""Outputs of matrix products: nearly all of the time of a layer, and half of its activations."""

ATTENTION_NAMES = ("flash_attn", "scaled_dot_product")
"""Parts of the names under which attention kernels are known to torch."""


def set_checkpointing(model: Any, checkpointing: ActivationCheckpointing) -> None:
    """Let each decoder layer of a transformers model keep less than all of its activations."""
    if checkpointing is ActivationCheckpointing.none:
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if checkpointing is ActivationCheckpointing.selective:
        options["context_fn"] = functools.partial(create_selective_checkpoint_contexts, _policy)
    model.activation_checkpointing_enable(options)


def _policy(context: Any, operator: Any, *arguments: Any, **options: Any) -> CheckpointPolicy:
    kept = operator in PRODUCTS or any(part in str(operator) for part in ATTENTION_NAMES)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
