"""What a run has to compute: steps, passes, tokens, FLOPs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sft.config import SFTConfig
from sft.steps.packing import Ints
from sft.steps.plan import StepPlan


@dataclass(frozen=True, slots=True)
class Epoch:
    """The rows of an epoch, packed: the same however many ranks divide it."""

    plan: StepPlan
    rows: int
    tokens: int
    fullest: int
    """Tokens of the fullest pack."""
    flops: float
    """By `LlamaShape.training_flops`, without what is computed twice."""

    @classmethod
    def of(cls, config: SFTConfig, lengths: Ints) -> Epoch:
        """Pack rows of these lengths.

        Raises:
            UserError: a step would hold less than one pack.
        """
        plan = StepPlan.of(lengths, config.data.max_length, config.batch, config.model.shape)
        tokens, squares = int(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
        flops = config.model.shape.training_flops(tokens, int(squares))
        fullest = int(plan.packs.sums(lengths).max())
        return cls(plan, len(lengths), tokens, fullest, flops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The work of a run, and how a step is divided."""

    epoch: Epoch
    steps: int
    """Of the run."""
    passes: int
    """Forward passes that each rank makes in a step."""
    pass_tokens: float
    """Tokens that go through one rank in a pass, at most."""
    step_tokens: float
    """Tokens of a step, on average, over all ranks."""
    step_flops: float

    @classmethod
    def of(cls, config: SFTConfig, epoch: Epoch) -> Workload:
        """How a config divides an epoch."""
        plan, batch, zero = epoch.plan, config.batch, config.deepspeed
        ranks = zero.data_ranks(config.cluster.world_size())
        packs = math.ceil(len(plan.packs) / plan.steps_per_epoch)
        together = min(batch.micro_packs, math.ceil(packs / ranks))
        steps = config.epochs * plan.steps_per_epoch
        own = math.ceil(math.ceil(packs / ranks) / batch.micro_packs)
        return cls(
            epoch=epoch,
            steps=steps if config.max_steps is None else min(steps, config.max_steps),
            passes=own,
            pass_tokens=together * epoch.fullest / zero.sequence_ranks,
            step_tokens=epoch.tokens / plan.steps_per_epoch,
            step_flops=epoch.flops / plan.steps_per_epoch,
        )
