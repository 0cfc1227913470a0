"""The steps of a run in order: their rows, how ranks divide them, and the batches of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from pacos.distributed import World
from pacos.lineage.trained_rows import TrainedRows
from sft.config import SFTConfig
from sft.configs.batch import Layout
from sft.data.mixture import Mixture
from sft.steps.batch import Batch
from sft.steps.plan import StepPlan
from sft.steps.record import Step


class StepStream:
    """The steps of a run, as one rank sees them.

    The step number alone tells its rows, so the stream has no state: a resumed run asks for the
    steps after the last one that it made.
    """

    def __init__(self, config: SFTConfig, data: Mixture, plan: StepPlan, world: World) -> None:
        self._config = config
        self._data = data
        self.plan = plan
        self._world = world
        self._data_ranks = config.deepspeed.data_ranks(world.size)
        steps = config.epochs * plan.steps_per_epoch
        self.last = steps if config.max_steps is None else min(steps, config.max_steps)
        """Number of the last step of the run."""

    @property
    def passes(self) -> int:
        """Passes that every rank makes in every step."""
        return self.plan.passes(self._data_ranks)

    def trained_rows(self) -> TrainedRows:
        """Return every row with its steps, for the records."""
        steps = self.plan.steps_of_rows(self._config.seed, len(self._data), self.last)
        return self._data.trained(steps)

    def after(self, steps_done: int) -> Iterator[Step]:
        """Yield the steps that are left, in order."""
        for number in range(steps_done + 1, self.last + 1):
            yield self._step(number)

    def _step(self, number: int) -> Step:
        plan = self.plan
        epoch, index = divmod(number - 1, plan.steps_per_epoch)
        packs = plan.step(self._config.seed, epoch, index)
        rows = plan.rows(packs)
        lengths = self._data.lengths[rows]
        shares = plan.divide(packs, self._data_ranks)
        return Step(
            number=number,
            epoch=number / plan.steps_per_epoch,
            passes=[[plan.rows(packs).tolist() for packs in share] for share in shares],
            rows=len(rows),
            tokens=int(lengths.sum()),
            squared_lengths=int((lengths**2).sum()),
            supervised=int(self._data.num_supervised[rows].sum()),
        )

    def own_passes(self, step: Step) -> Sequence[Sequence[int]]:
        """Return the rows of each pass of this rank; neighbors may share them."""
        return step.passes[self._world.rank * len(step.passes) // self._world.size]

    def batch(self, rows: Sequence[int], device: torch.device) -> Batch:
        """Return the input of a pass; a pass without rows still has a token."""
        if not rows:
            return Batch.empty(device)
        padded = self._config.batch.layout is not Layout.packed
        return Batch.of([self._data.row(row) for row in rows], device, padded=padded)
