"""The division of an epoch into steps, and of a step among ranks and passes.

Everything here follows from row lengths, batch config, seed and epoch alone. Every rank therefore
computes the same plan without communication, and another number of ranks trains on the same steps.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pacos.division import balance, ceil_div
from pacos.errors import UserError
from pacos.model.shape import ModelShape
from pacos.seeds import derived_seed
from pacos.text.counted import counted
from sft.configs.batch import BatchConfig, Layout
from sft.steps.packing import Ints, Packs, pack_rows

MEASURED_STEPS = 100
"""Steps over which `StepPlan.summary` averages the imbalance: enough to tell how evenly a plan
divides, where a large data set has thousands."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The packs of an epoch and their steps; a step is an array of pack numbers."""

    packs: Packs
    costs: NDArray[np.float64]
    """[packs]: training FLOPs of each pack."""
    steps_per_epoch: int
    """Steps of one epoch. Each holds len(packs) / steps_per_epoch packs, rounded down or up."""
    batch: BatchConfig
    capacity: int
    """Tokens that a pack can hold."""

    @classmethod
    def of(cls, lengths: Ints, capacity: int, batch: BatchConfig, shape: ModelShape) -> StepPlan:
        """Pack all rows, and spread the packs evenly over as few steps as the batch size allows.

        Args:
            lengths: [rows]: tokens of each row of an epoch.
            capacity: tokens that a pack can hold.
            batch: the size of a step, in rows or tokens.
            shape: the model's sizes, which set the cost of a pack.

        Raises:
            UserError: a step would hold less than one pack.
        """
        if batch.layout is Layout.packed:
            packs = pack_rows(lengths, capacity)
        else:
            packs = Packs(np.arange(len(lengths)), np.arange(len(lengths) + 1))
        steps = _steps_per_epoch(lengths, packs, capacity, batch)
        if steps > len(packs):
            raise _step_below_one_pack(lengths, packs, capacity, batch)
        return cls(packs, packs.sums(row_costs(lengths, shape)), steps, batch, capacity)

    @property
    def largest_step(self) -> int:
        """Packs in the largest step."""
        return ceil_div(len(self.packs), self.steps_per_epoch)

    def packs_per_rank(self, ranks: int) -> int:
        """Return the most packs that one rank takes in a step."""
        return ceil_div(self.largest_step, ranks)

    def passes(self, ranks: int) -> int:
        """Return the passes that every rank makes in every step.

        The largest step sets the number. Ranks with fewer packs run empty passes: the number is
        DeepSpeed's gradient_accumulation_steps, which must be the same on all ranks and steps.
        """
        return ceil_div(self.packs_per_rank(ranks), self.batch.micro_packs)

    def step(self, seed: int, epoch: int, index: int) -> Ints:
        """Return the packs of one step. Each epoch shuffles the packs anew."""
        order = _order(len(self.packs), derived_seed(seed, "packs", epoch))
        # Integer bounds i·n/steps give step sizes that differ by at most one and leave none out.
        first = index * len(order) // self.steps_per_epoch
        last = (index + 1) * len(order) // self.steps_per_epoch
        return order[first:last]

    def rows(self, packs: Ints) -> Ints:
        """Return the rows of some packs, one pack after another."""
        return np.concatenate([self.packs[pack] for pack in packs] or [np.arange(0)])

    def steps_of_rows(self, seed: int, rows: int, last: int) -> NDArray[np.int32]:
        """Return [epochs, rows]: the step that has each row; 0 if the run ends before it.

        Args:
            seed: of the run.
            rows: rows of an epoch.
            last: number of the run's last step.
        """
        steps = np.zeros((ceil_div(last, self.steps_per_epoch), rows), dtype=np.int32)
        for done in range(last):
            epoch, index = divmod(done, self.steps_per_epoch)
            steps[epoch, self.rows(self.step(seed, epoch, index))] = done + 1
        return steps

    def divide(self, step: Ints, ranks: int) -> list[list[Ints]]:
        """Divide the packs of a step among ranks and their passes.

        Packs of similar cost share a pass, and every rank has the same work, in total and in each
        pass, as nearly as whole packs allow: ranks wait for each other at the end of a step, and
        under ZeRO-3 in every layer of a pass. Padded rows are dealt out in order, because they are
        the baseline that the other layouts are compared with.

        Returns:
            The packs of each pass of each rank; an array may be empty.
        """
        passes = self.passes(ranks)
        if self.batch.layout is Layout.padded:
            return [np.array_split(step[rank::ranks], passes) for rank in range(ranks)]
        # Stable, because numpy's default sort orders ties differently on CPUs with AVX-512.
        by_cost = step[np.argsort(-self.costs[step], kind="stable")]
        groups = np.array_split(by_cost, ranks * passes)
        work = [float(self.costs[group].sum()) for group in groups]
        shares = balance(work, ranks, most_each=passes)
        return [[groups[group] for group in share] for share in shares]

    def imbalance(self, seed: int, ranks: int) -> Iterator[float]:
        """Yield for each step of the first epoch: work of the busiest rank / mean work - 1."""
        for index in range(self.steps_per_epoch):
            shares = self.divide(self.step(seed, 0, index), ranks)
            work = [self.costs[np.concatenate(share)].sum() for share in shares]
            yield max(work) * ranks / sum(work) - 1

    def summary(self, lengths: Ints, seed: int, ranks: int) -> str:
        """Describe the plan's size, how full its packs are, and how evenly it divides."""
        tokens, packs = int(lengths.sum()), len(self.packs)
        fullness = (
            f", {tokens / packs / self.capacity:.1%} full"
            if self.batch.layout is Layout.packed
            else ""
        )
        uneven = statistics.fmean(islice(self.imbalance(seed, ranks), MEASURED_STEPS))
        return (
            f"{counted(len(lengths), 'row')}, {tokens:,} tokens in "
            f"{counted(packs, 'pack')}{fullness}; {counted(self.steps_per_epoch, 'step')} an epoch "
            f"of {packs / self.steps_per_epoch:.1f} packs; "
            f"the busiest of {counted(ranks, 'rank')} has {uneven:.1%} more work than the mean"
        )


def _steps_per_epoch(lengths: Ints, packs: Packs, capacity: int, batch: BatchConfig) -> int:
    if batch.rows is not None:
        return ceil_div(len(lengths), batch.rows)
    assert batch.tokens is not None, "the config sets rows or tokens"
    if batch.layout is Layout.packed:
        # Packs are nearly full, so tokens // capacity whole packs hold about `tokens`.
        return ceil_div(len(packs), max(1, batch.tokens // capacity))
    return ceil_div(int(lengths.sum()), batch.tokens)


def _step_below_one_pack(
    lengths: Ints, packs: Packs, capacity: int, batch: BatchConfig
) -> UserError:
    if batch.rows is None:
        mean = ceil_div(int(lengths.sum()), len(lengths))
        return UserError(
            f"batch.tokens = {batch.tokens}: less than the {mean} tokens of an average row; "
            "raise it"
        )
    rows_per_pack = ceil_div(len(lengths), len(packs))
    return UserError(
        f"batch.rows = {batch.rows}: less than the {rows_per_pack} rows that one pack of "
        f"{capacity} tokens holds; raise it to a multiple of that, lower data.max_length, "
        "or use batch.layout=grouped"
    )


def row_costs(lengths: Ints, shape: ModelShape) -> NDArray[np.float64]:
    """Return [rows]: training FLOPs of each row, a · length + b · length².

    b is half of what `ModelShape.training_flops` counts. That follows PaLM and takes attention for
    full, but the kernels skip the masked half, and here the ratio to the linear part matters.
    """
    linear, square = shape.training_flops(1, 0), shape.training_flops(0, 1) / 2
    return linear * lengths + square * lengths.astype(np.float64) ** 2


# Two entries: the trainer asks for one epoch at a time, and the plan's summary for the first.
@lru_cache(maxsize=2)
def _order(packs: int, seed: int) -> Ints:
    """Return a permutation of pack numbers.

    Python's generator rather than numpy's or torch's: its shuffle is stable across releases, and
    a resumed run must draw the order that it began with.
    """
    order = list(range(packs))
    random.Random(seed).shuffle(order)
    return np.array(order)
