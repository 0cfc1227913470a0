"""The learning rate of each step, and the optimizer with its parameter groups."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from sft.configs.optimizer import OptimizerConfig
from sft.configs.schedule import Decay, ScheduleConfig


def learning_rate(step: int, total: int, peak: float, schedule: ScheduleConfig) -> float:
    """Return the learning rate of one step; every step has one above 0.

    Warm-up reaches the peak at its last step. The decay starts from the peak at the step after that
    and would reach 0 at step `total` + 1, which is never made: the rates of transformers
    (`get_cosine_schedule_with_warmup`, `get_linear_schedule_with_warmup`, linear
    `get_wsd_schedule`), Megatron-LM and torchtitan. Warm-up is as in torchtitan, one step ahead of
    the other two, whose first step has rate 0.

    A function of the step number alone, so a resumed run needs no scheduler state.

    Args:
        step: from 1 to `total`.
        total: steps of the run.
        peak: rate at the end of warm-up.
        schedule: shares of warm-up and decay, and the shape of the decay.
    """
    warmup = math.ceil(total * schedule.warmup_ratio)
    if step <= warmup:
        return peak * step / warmup
    if schedule.decay is Decay.constant:
        return peak
    decay_steps = total - warmup
    if schedule.decay is Decay.wsd:
        decay_steps = min(decay_steps, math.ceil(total * schedule.decay_ratio))
    # From 1 at the first step of the decay to 1 / decay_steps at the last step of the run; above 1
    # before, which is clipped.
    remaining = min(1.0, (total + 1 - step) / max(1, decay_steps))
    if schedule.decay is Decay.cosine:
        return peak * 0.5 * (1 - math.cos(math.pi * remaining))
    return peak * remaining


def build_optimizer(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], config: OptimizerConfig
) -> torch.optim.AdamW:
    """Build AdamW, fused into one kernel per group, without weight decay of norms and biases.

    By name and not by number of dimensions: under ZeRO-3 every parameter is a flat share.
    """
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
