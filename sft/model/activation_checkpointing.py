"""Activation checkpointing: the activations that the backward pass computes a second time."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from pacos.model.protocols import CausalLM
from sft.configs.compute import ActivationCheckpointing

PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default}
"""Matrix products: nearly all of a layer's time, but only half of its activations."""

ATTENTION_NAMES = ("flash_attn", "scaled_dot_product")
"""Parts of the names that attention kernels have in torch's dispatcher."""


def set_checkpointing(model: CausalLM, checkpointing: ActivationCheckpointing) -> None:
    """Make each decoder layer of a transformers model keep fewer activations."""
    if checkpointing is ActivationCheckpointing.none:
        return
    # The form that torch recommends; the reentrant one knows no policy.
    options: dict[str, Any] = {"use_reentrant": False}
    if checkpointing is ActivationCheckpointing.selective:
        options["context_fn"] = functools.partial(create_selective_checkpoint_contexts, _policy)
        _make_bias_part_of_product(model)
    model.activation_checkpointing_enable(options)


def _make_bias_part_of_product(model: CausalLM) -> None:
    """Multiply by matrices with a bias in two dimensions.

    ZeRO-3 replaces torch's linear layer, and with three dimensions adds the bias to the product in
    place. The product that was kept would have the bias already when the layer is computed again,
    and get it twice: gradients that are off by 24 % in a small Qwen2. With two dimensions product
    and bias are one operator.
    """
    for layer in model.modules():
        if type(layer) is nn.Linear and layer.bias is not None:
            layer.forward = functools.partial(_flat_linear, layer)  # type: ignore[method-assign]


def _flat_linear(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    rows = functional.linear(inputs.flatten(0, -2), layer.weight, layer.bias)
    return rows.unflatten(0, inputs.shape[:-1])


def _policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    is_costly = operator in PRODUCTS or any(name in str(operator) for name in ATTENTION_NAMES)
    return CheckpointPolicy.MUST_SAVE if is_costly else CheckpointPolicy.PREFER_RECOMPUTE
