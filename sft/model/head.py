"""The output head with its loss, which never holds the logits of all positions at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sft.configs.compute import CHUNK_LOGITS
from sft.model import cpu_bf16


class ScoringHead(nn.Module):
    """An output head without bias. Given targets, it returns their Σ NLL instead of logits.

    The loss is computed inside the module's call, because ZeRO-3 gathers the weight only for that
    long.
    """

    def __init__(self, weight: nn.Parameter) -> None:
        """Wrap the weight of a linear output head; it stays the same parameter, tied or not."""
        super().__init__()
        self.weight = weight

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
        """Map [..., H] to logits [..., V]; with targets [S], map [S, H] to Σ NLL, a scalar."""
        if targets is not None:
            return linear_nll(hidden, self.weight, targets)
        return cpu_bf16.linear(hidden, self.weight)


def linear_nll(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the Σ negative log-likelihood of softmax(hidden @ weight.T) at the targets, in nats.

    Args:
        hidden: [S, H].
        weight: [V, H].
        targets: [S] int64.

    Returns:
        A scalar in fp32, or in fp64 for fp64 input.
    """
    if hidden.is_cuda and importlib.util.find_spec("liger_kernel"):
        return liger_nll(hidden, weight, targets)
    return chunked_nll(hidden, weight, targets)


def liger_nll(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute `linear_nll` with the package liger-kernel, on CUDA only."""
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    # The gradient of the weight is a sum over chunks: accumulated in bf16 it would lose digits.
    return liger_fused_linear_cross_entropy(
        hidden, weight, targets, reduction="sum", accum_dtype=torch.float32
    )


def chunked_nll(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute `linear_nll` with torch alone, on any device."""
    return _ChunkedNLL.apply(hidden, weight, targets, torch.is_grad_enabled())  # type: ignore[no-untyped-call]


class _ChunkedNLL(torch.autograd.Function):
    """Computes gradients in the forward pass, chunk by chunk, while the logits exist.

    Keeping the logits for the backward pass instead would take 4.2 GB in fp32 for 8,192 positions
    of LLaMA-3's vocabulary (see CHUNK_LOGITS); computing them twice would add
    a third to the head's time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        with_gradients: bool,
    ) -> torch.Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        nll = torch.zeros((), dtype=wide, device=hidden.device)
        factor = cpu_bf16.operand(weight)
        if with_gradients:
            for_hidden = torch.empty_like(hidden)
            for_weight = None
        for part in _chunks(len(targets), len(weight)):
            rows = cpu_bf16.operand(hidden[part])
            logits = functional.linear(rows, factor).to(wide)
            norm = logits.logsumexp(-1, keepdim=True)
            at_target = targets[part, None]
            nll += (norm - logits.gather(-1, at_target)).sum()
            if with_gradients:
                # d NLL / d logits = softmax(logits) - 1 at the target.
                slope = logits.sub_(norm).exp_()
                slope.scatter_add_(-1, at_target, torch.full_like(norm, -1))
                slope = slope.to(factor.dtype)
                for_hidden[part] = slope @ factor
                for_weight = _add_product(for_weight, slope.T, rows)
        if with_gradients:
            if for_weight is None:
                for_weight = torch.zeros_like(weight)
            ctx.gradients = for_hidden, for_weight.to(weight.dtype)
        return nll

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # Scaled in place, so only once: a second [V, H] would be 1 GB for an 8B model in bf16.
        for_hidden, for_weight = ctx.gradients
        del ctx.gradients
        scale = outer[0]
        return for_hidden.mul_(scale), for_weight.mul_(scale), None, None


def _add_product(
    total: torch.Tensor | None, left: torch.Tensor, right: torch.Tensor
) -> torch.Tensor:
    """Return total + left @ right in fp32 or wider; bf16 alone needs a second [V, H] for it."""
    wide = torch.promote_types(left.dtype, torch.float32)
    if total is None:
        return (left @ right).to(wide)
    if left.dtype is wide:
        return total.addmm_(left, right)
    return total.add_(left @ right)


def _chunks(positions: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, CHUNK_LOGITS // vocabulary)
    for start in range(0, positions, size):
        yield slice(start, start + size)
