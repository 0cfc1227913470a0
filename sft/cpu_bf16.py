"""bf16 training on CPUs that cannot multiply bf16 matrices.

Below AVX-512, torch computes a bf16 matrix product with scalar code: SmolLM2-135M takes 150 s for
forward and backward of 512 tokens on one core, against 9 s this way. Operands are widened to fp32,
multiplied, and the result is rounded to bf16: what hardware with bf16 units does, which also
accumulates in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "sdpa_fp32"
"""Name of the attention that computes in fp32."""


def is_needed(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether products of this type on this device would fall back to scalar code."""
    slow = not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device.type == "cpu" and dtype is torch.bfloat16 and slow


class _WideLinear(torch.autograd.Function):
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


class WideLinear(nn.Linear):
    """A linear layer without bias that multiplies in fp32."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return _WideLinear.apply(inputs, self.weight)  # type: ignore[no-untyped-call]


def _wide_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    attend = ALL_ATTENTION_FUNCTIONS["sdpa"]
    output, _ = attend(module, query.float(), key.float(), value.float(), attention_mask, **options)
    return output.to(query.dtype), None


def widen(model: Any) -> None:
    """Make a LLaMA compute its matrix products in fp32; its parameters stay as they are."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _wide_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation(ATTENTION)
    for module in model.modules():
        if type(module) is nn.Linear and module.bias is None:
            module.__class__ = WideLinear
