"""Which packs make a step, and which rank takes which of them in which pass.

Packs and steps follow from lengths, batch, seed and epoch alone, so that every rank computes the
same plan, and another number of ranks trains on the same steps.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pacos.errors import UserError
from pacos.model.shape import LlamaShape
from pacos.seeds import derived_seed
from sft.configs.batch import BatchConfig, Layout
from sft.steps.packing import Ints, Packs, pack_rows

MEASURED_STEPS = 100
"""Enough of them to tell how evenly a plan divides."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The steps of an epoch. A step is an array of numbers of packs."""

    packs: Packs
    costs: NDArray[np.float64]
    """[packs]: FLOPs of a training step over each."""
    steps_per_epoch: int
    """Each step holds len(packs) / steps_per_epoch packs, rounded down or up."""
    batch: BatchConfig
    capacity: int
    """Tokens of a pack."""

    @classmethod
    def of(cls, lengths: Ints, capacity: int, batch: BatchConfig, shape: LlamaShape) -> StepPlan:
        """Pack all rows and divide the packs evenly into as few steps as the batch allows.

        Args:
            lengths: [rows] tokens of each row of an epoch.
            capacity: tokens of a pack.
            batch: what a step holds.
            shape: of the model, which decides on what a pack costs.

        Raises:
            UserError: a step would hold less than one pack.
        """
        if batch.layout is Layout.packed:
            packs = pack_rows(lengths, capacity)
        else:
            packs = Packs(np.arange(len(lengths)), np.arange(len(lengths) + 1))
        if batch.rows is not None:
            steps = -(-len(lengths) // batch.rows)
        elif batch.layout is Layout.packed:
            assert batch.tokens is not None
            steps = -(-len(packs) // max(1, batch.tokens // capacity))
        else:
            assert batch.tokens is not None
            steps = -(-int(lengths.sum()) // batch.tokens)
        if steps > len(packs):
            a_pack = -(-len(lengths) // len(packs))
            raise UserError(
                f"batch.rows = {batch.rows}: less than the {a_pack} rows that one pack of "
                f"{capacity} tokens holds; raise it to a multiple of that, lower data.max_length, "
                "or use batch.layout=grouped"
            )
        return cls(packs, packs.sums(row_costs(lengths, shape)), steps, batch, capacity)

    def passes(self, ranks: int) -> int:
        """Forward passes that every rank makes in a step: enough for the largest step."""
        of_one_rank = -(-self._largest_step // ranks)
        return -(-of_one_rank // self.batch.micro_packs)

    @property
    def _largest_step(self) -> int:
        return -(-len(self.packs) // self.steps_per_epoch)

    def step(self, seed: int, epoch: int, index: int) -> Ints:
        """The packs of one step; the order of packs is drawn anew each epoch."""
        order = _order(len(self.packs), derived_seed(seed, "packs", epoch))
        first = index * len(order) // self.steps_per_epoch
        last = (index + 1) * len(order) // self.steps_per_epoch
        return order[first:last]

    def rows(self, packs: Ints) -> Ints:
        """The rows of some packs, one after another."""
        return np.concatenate([self.packs[pack] for pack in packs] or [np.arange(0)])

    def divide(self, step: Ints, ranks: int) -> list[list[Ints]]:
        """For each rank and each of its passes, the packs that it takes; some may be none.

        Packs of like cost go through together, and every rank has the same work, in all and in each
        pass, as nearly as whole packs allow. Padded rows are dealt out as they come: that is what
        they are there to be compared with.
        """
        passes = self.passes(ranks)
        if self.batch.layout is Layout.padded:
            return [np.array_split(step[rank::ranks], passes) for rank in range(ranks)]
        by_cost = step[np.argsort(-self.costs[step], kind="stable")]
        groups = np.array_split(by_cost, ranks * passes)
        work = np.array([self.costs[group].sum() for group in groups])
        return [[groups[group] for group in share] for share in balance(work, ranks)]

    def imbalance(self, seed: int, ranks: int) -> Iterator[float]:
        """Of each step of the first epoch: work of the busiest rank over the mean, less 1."""
        for index in range(self.steps_per_epoch):
            shares = self.divide(self.step(seed, 0, index), ranks)
            work = [self.costs[np.concatenate(share)].sum() for share in shares]
            yield max(work) * ranks / sum(work) - 1

    def summary(self, lengths: Ints, seed: int, ranks: int) -> str:
        """Size and fullness of the plan in words, and how evenly it divides."""
        tokens, packs = int(lengths.sum()), len(self.packs)
        full = (
            f", {tokens / packs / self.capacity:.1%} full"
            if self.batch.layout is Layout.packed
            else ""
        )
        uneven = statistics.fmean(islice(self.imbalance(seed, ranks), MEASURED_STEPS))
        return (
            f"{len(lengths)} rows, {tokens} tokens in {packs} packs{full}; "
            f"{self.steps_per_epoch} steps an epoch of {packs / self.steps_per_epoch:.1f} packs; "
            f"the busiest of {ranks} ranks has {uneven:.1%} more work than the mean"
        )


def row_costs(lengths: Ints, shape: LlamaShape) -> NDArray[np.float64]:
    """[rows]: FLOPs of a training step over each, a · length + b · length².

    b is half of what `training_flops` counts: causal attention skips what lies ahead.
    """
    linear, square = shape.training_flops(1, 0), shape.training_flops(0, 1) / 2
    return linear * lengths + square * lengths.astype(np.float64) ** 2


def balance(work: NDArray[np.float64], ranks: int) -> list[list[int]]:
    """Divide groups of packs among ranks, as many to each rank: they run as many passes.

    The costliest group first, each to the rank with the least work so far (Graham's rule).

    Args:
        work: [groups], a multiple of `ranks`.
        ranks: number of ranks.

    Returns:
        For each rank its indices into `work`, the costliest first.
    """
    given: list[list[int]] = [[] for _ in range(ranks)]
    least = [(0.0, rank) for rank in range(ranks)]
    for group in np.argsort(-work, kind="stable").tolist():
        done, rank = heapq.heappop(least)
        given[rank].append(group)
        if len(given[rank]) < len(work) // ranks:
            heapq.heappush(least, (done + float(work[group]), rank))
    return given


@lru_cache(maxsize=2)
def _order(packs: int, seed: int) -> Ints:
    order = list(range(packs))
    random.Random(seed).shuffle(order)
    return np.array(order)
