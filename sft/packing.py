"""Which rows share a pack, which packs make a step, and which rank takes which pack.

Packs and steps follow from lengths, batch size, seed and epoch alone, so that every rank computes
the same plan and another number of ranks trains on the same steps.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from pacos.run_dir import derived_seed
from sft.config import BatchConfig

Pack = list[int]
"""Indices of the rows that share one flat row of tokens."""


def pack_rows(lengths: Sequence[int], capacity: int) -> list[Pack]:
    """Best-fit decreasing: each row, longest first, goes into the fullest pack that it fits.

    Args:
        lengths: tokens of each row, each at most `capacity`.
        capacity: tokens of a pack.
    """
    packs: list[Pack] = []
    room: list[tuple[int, int]] = []
    for row in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        at = bisect_left(room, (lengths[row], -1))
        if at == len(room):
            packs.append([row])
            free, pack = capacity - lengths[row], len(packs) - 1
        else:
            free, pack = room.pop(at)
            packs[pack].append(row)
            free -= lengths[row]
        insort(room, (free, pack))
    return packs


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Steps of an epoch, each a list of packs."""

    packs: list[Pack]
    steps_per_epoch: int
    """Each step holds len(packs) / steps_per_epoch packs, rounded down or up."""

    @classmethod
    def of(cls, lengths: Sequence[int], capacity: int, batch: BatchConfig) -> StepPlan:
        """Pack all rows and divide the packs evenly into steps of the batch's size on average."""
        if batch.rows is not None:
            steps = len(lengths) / batch.rows
        else:
            assert batch.tokens is not None
            steps = sum(lengths) / batch.tokens
        return cls(packs=pack_rows(lengths, capacity), steps_per_epoch=max(1, round(steps)))

    def passes(self, ranks: int, micro_packs: int) -> int:
        """Forward passes that every rank makes in a step: enough for the largest step."""
        largest = -(-len(self.packs) // self.steps_per_epoch)
        of_one_rank = -(-largest // ranks)
        return -(-of_one_rank // micro_packs)

    def step(self, seed: int, epoch: int, index: int) -> list[Pack]:
        """Packs of one step; the order of packs is drawn anew each epoch."""
        order = list(range(len(self.packs)))
        random.Random(derived_seed(seed, "packs", epoch)).shuffle(order)
        steps = self.steps_per_epoch
        first = index * len(order) // steps
        last = (index + 1) * len(order) // steps
        return [self.packs[pack] for pack in order[first:last]]


def divide(packs: Sequence[Pack], lengths: Sequence[int], ranks: int) -> list[list[Pack]]:
    """Give the packs of a step to ranks, the costliest first to the rank with the least work.

    No rank gets more than its even share rounded up. The cost of a pack is its number of tokens.
    """
    share = -(-len(packs) // ranks)
    given: list[list[Pack]] = [[] for _ in range(ranks)]
    work = [(0, rank) for rank in range(ranks)]
    for pack in sorted(packs, key=lambda rows: -sum(lengths[row] for row in rows)):
        cost, rank = heapq.heappop(work)
        given[rank].append(pack)
        if len(given[rank]) < share:
            heapq.heappush(work, (cost + sum(lengths[row] for row in pack), rank))
    return given
