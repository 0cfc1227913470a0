"""Learning rate over the steps, and the optimizer's parameter groups."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from sft.config import Decay, OptimizerConfig, ScheduleConfig


def learning_rate(step: int, total: int, peak: float, schedule: ScheduleConfig) -> float:
    """Rate of one step.

    Args:
        step: from 1 to `total`.
        total: steps of the run.
        peak: rate at the end of warm-up.
        schedule: warm-up share and shape of the decay.
    """
    warmup = math.ceil(total * schedule.warmup_ratio)
    if step <= warmup:
        return peak * step / warmup
    if schedule.decay is Decay.constant:
        return peak
    left = (total - step) / max(1, total - warmup)
    if schedule.decay is Decay.linear:
        return peak * left
    return peak * 0.5 * (1 - math.cos(math.pi * left))


def build_optimizer(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], config: OptimizerConfig
) -> torch.optim.AdamW:
    """AdamW whose weight decay spares vectors: norms and biases."""
    matrices: list[torch.nn.Parameter] = []
    vectors: list[torch.nn.Parameter] = []
    for name, parameter in parameters:
        (vectors if "norm" in name or name.endswith("bias") else matrices).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
    )
