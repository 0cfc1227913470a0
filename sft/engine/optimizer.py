"""Learning rate over the steps, and the optimizer's parameter groups."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from sft.configs.optimizer import OptimizerConfig
from sft.configs.schedule import Decay, ScheduleConfig


def learning_rate(step: int, total: int, peak: float, schedule: ScheduleConfig) -> float:
    """Rate of one step.

    Args:
        step: from 1 to `total`.
        total: steps of the run.
        peak: rate at the end of warm-up.
        schedule: shares of warm-up and decay, and the decay's shape.
    """
    warmup = math.ceil(total * schedule.warmup_ratio)
    if step <= warmup:
        return peak * step / warmup
    if schedule.decay is Decay.constant:
        return peak
    falling = total - warmup
    if schedule.decay is Decay.wsd:
        falling = min(falling, math.ceil(total * schedule.decay_ratio))
    left = min(1.0, (total - step) / max(1, falling))
    if schedule.decay is Decay.cosine:
        return peak * 0.5 * (1 - math.cos(math.pi * left))
    return peak * left


def build_optimizer(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], config: OptimizerConfig
) -> torch.optim.AdamW:
    """AdamW, fused into one kernel a group, whose weight decay spares vectors: norms and biases."""
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
        fused=True,
    )
