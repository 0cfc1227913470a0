"""bf16 training on CPUs that cannot multiply bf16 matrices.

Below AVX-512, torch computes a bf16 matrix product with scalar code: SmolLM2-135M takes 150 s for
forward and backward of 512 tokens on one core, against 9 s this way. Operands are widened to fp32
and multiplied, and the result is rounded to bf16. Hardware with bf16 units does the same: it also
accumulates in fp32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pacos.model.protocols import CausalLM


def is_needed(device: torch.device, dtype: torch.dtype) -> bool:
    """Return True if products of this type on this device would run as scalar code."""
    return device.type == "cpu" and dtype is torch.bfloat16 and not _has_bf16_units()


@cache
def _has_bf16_units() -> bool:
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def operand(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor as products should take it: widened to fp32 if that is needed."""
    return tensor.float() if is_needed(tensor.device, tensor.dtype) else tensor


def linear(inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return inputs @ weight.T; product and gradients are computed in fp32 if that is needed."""
    if is_needed(inputs.device, inputs.dtype):
        return _WideProduct.apply(inputs, weight)  # type: ignore[no-untyped-call]
    return functional.linear(inputs, weight)


class _WideProduct(torch.autograd.Function):
    """inputs @ weight.T in fp32, which keeps its operands for the backward pass in bf16.

    Autograd through `inputs.float()` would keep the fp32 copies: twice the activations.
    """

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        return functional.linear(inputs.float(), weight.float()).to(inputs.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, weight = ctx.saved_tensors
        wide = gradients[0].float()
        for_inputs = wide @ weight.float()
        for_weight = wide.flatten(0, -2).T @ inputs.float().flatten(0, -2)
        return for_inputs.to(inputs.dtype), for_weight.to(weight.dtype)


class WideLinear(nn.Module):
    """A linear layer that multiplies in fp32 if that is needed."""

    def __init__(self, layer: nn.Linear) -> None:
        """Take over the parameters of a layer; they stay the same."""
        super().__init__()
        self.weight = layer.weight
        # None without a bias, which torch types as a tensor.
        self.bias: torch.Tensor | None = layer.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        product = linear(inputs, self.weight)
        return product if self.bias is None else product + self.bias


def install_wide_linear(model: CausalLM) -> None:
    """Replace a model's linear layers by `WideLinear`s on the same parameters.

    Names and order of the parameters stay as they are.
    """
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, WideLinear(child))
