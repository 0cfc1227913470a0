"""The work of a run: steps, passes, tokens and FLOPs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pacos.division import ceil_div
from sft.config import SFTConfig
from sft.steps.packing import Ints
from sft.steps.plan import StepPlan


@dataclass(frozen=True, slots=True)
class Epoch:
    """The packed rows of an epoch; they do not depend on the number of ranks."""

    plan: StepPlan
    rows: int
    tokens: int
    fullest: int
    """Tokens of the fullest pack."""
    flops: float
    """Model FLOPs by `ModelShape.training_flops`; recomputed ones do not count."""

    @classmethod
    def of(cls, config: SFTConfig, lengths: Ints) -> Epoch:
        """Pack rows of these lengths.

        Raises:
            UserError: a step would hold less than one pack.
        """
        plan = StepPlan.of(lengths, config.data.max_length, config.batch, config.model.shape)
        # Attention is quadratic in the length of a row, not in that of its pack.
        tokens, squares = int(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
        flops = config.model.shape.training_flops(tokens, int(squares))
        fullest = int(plan.packs.sums(lengths).max())
        return cls(plan, len(lengths), tokens, fullest, flops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The work of a run, and its division over ranks."""

    epoch: Epoch
    steps: int
    """Optimizer updates of the whole run."""
    passes: int
    """Passes of each rank per step."""
    pass_tokens: float
    """Most tokens of one rank in a pass."""
    step_tokens: float
    """Mean tokens of a step, over all ranks."""
    step_flops: float
    """Mean model FLOPs of a step, over all ranks."""

    @classmethod
    def of(cls, config: SFTConfig, epoch: Epoch) -> Workload:
        """Divide an epoch over the config's ranks."""
        plan, batch, zero = epoch.plan, config.batch, config.deepspeed
        ranks = zero.data_ranks(config.cluster.world_size())
        packs_per_rank = plan.packs_per_rank(ranks)
        steps = config.epochs * plan.steps_per_epoch
        return cls(
            epoch=epoch,
            steps=steps if config.max_steps is None else min(steps, config.max_steps),
            passes=ceil_div(packs_per_rank, batch.micro_packs),
            pass_tokens=min(batch.micro_packs, packs_per_rank)
            * epoch.fullest
            / zero.sequence_ranks,
            step_tokens=epoch.tokens / plan.steps_per_epoch,
            step_flops=epoch.flops / plan.steps_per_epoch,
        )
