"""Accuracy of kernels: their difference from fp64, beside that of plain torch in bf16.

python -m benchmarks.gpu.kernels [--dry-run]

Prints one JSON object with the relative difference from fp64 of each kernel on this machine. It may
be at most SLACK times that of plain torch in bf16. --dry-run uses a size that a CPU can handle.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from pacos.model.shape import ModelShape
from sft.configs.compute import Attention
from sft.model.attention import PackedAttention, candidates
from sft.model.attention_check import TOLERANCE, pack_difference
from sft.model.head import chunked_nll, liger_nll

SLACK = 1.5
"""Largest accepted ratio of a kernel's error to that of plain torch in bf16."""
SIZE, DRY_SIZE = (2048, 1024, 32_000), (64, 32, 500)
"""Positions, hidden size, vocabulary."""

Head = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def plain_nll(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = functional.linear(hidden, weight)
    wide = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(wide), targets, reduction="sum")


def head_results(
    head: Head, size: tuple[int, int, int], device: torch.device, dtype: torch.dtype
) -> list[torch.Tensor]:
    """Return loss and gradients for hidden states and weight, converted to fp64.

    The inputs are rounded to bf16 at every precision, so only the computation differs.
    """
    positions, width, vocabulary = size
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(positions, width, generator=draw).bfloat16().to(device, dtype)
    weight = (torch.randn(vocabulary, width, generator=draw) * 0.05).bfloat16().to(device, dtype)
    targets = torch.randint(vocabulary, (positions,), generator=draw).to(device)
    inputs = hidden.requires_grad_(), weight.requires_grad_()
    nll = head(*inputs, targets)
    (nll / positions).backward()
    gradients = [tensor.grad for tensor in inputs if tensor.grad is not None]
    return [each.detach().double().cpu() for each in (nll, *gradients)]


def heads(device: torch.device, size: tuple[int, int, int]) -> dict[str, Any]:
    exact = head_results(plain_nll, size, device, torch.float64)

    def differences(head: Head) -> dict[str, float]:
        results = head_results(head, size, device, torch.bfloat16)
        names = ("loss", "hidden", "weight")
        return {
            name: float((one - other).norm() / other.norm())
            for name, one, other in zip(names, results, exact, strict=True)
        }

    plain = differences(plain_nll)
    kernels: dict[str, Head] = {"chunked": chunked_nll}
    if device.type == "cuda" and importlib.util.find_spec("liger_kernel"):
        kernels["liger"] = liger_nll
    report: dict[str, Any] = {"plain": plain}
    for name, head in kernels.items():
        report[name] = differences(head)
        report[f"{name} is right"] = all(
            value <= SLACK * plain[key] + 1e-5 for key, value in report[name].items()
        )
    return report


def attentions(device: torch.device) -> dict[str, Any]:
    """Compare the gradient of a pack with the sum over its documents, for each available kernel."""
    shape, report = ModelShape(num_key_value_heads=8), {}
    for dtype in (torch.bfloat16, torch.float32):
        for name, load in candidates(Attention.auto, device, dtype):
            key = f"{name.value} {str(dtype).removeprefix('torch.')}"
            try:
                attention = PackedAttention(name, load())
                difference = pack_difference(attention, shape, device, dtype)
            except Exception as error:  # noqa: BLE001  # a package for another torch raises anything
                report[key] = {"cannot run": str(error)[:200]}
                continue
            report[key] = {"difference": difference, "is right": difference <= TOLERANCE[dtype]}
    return report


def main() -> int:
    """Compare and print, and return the exit code."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = DRY_SIZE if "--dry-run" in sys.argv else SIZE
    print(json.dumps({"heads": heads(device, size), "attention": attentions(device)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
