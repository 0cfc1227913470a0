"""The training loop: steps of fixed packs, one optimizer update each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from pacos import metrics
from pacos.console import progress
from pacos.distributed import World
from pacos.llama import LlamaShape
from pacos.stop import StopRequest
from sft.batch import Batch
from sft.batch_config import Layout
from sft.checkpoint import Checkpoints
from sft.config import SFTConfig
from sft.engine import backward
from sft.loss import nll_sum
from sft.mixture import Mixture
from sft.packing import Ints
from sft.records import Records
from sft.schedule import learning_rate
from sft.step_plan import StepPlan


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: its packs over all ranks, and what they hold."""

    number: int
    """From 1."""
    packs: Ints
    """Numbers of packs in the plan."""
    tokens: int
    squared_lengths: int
    supervised: int
    """Tokens that carry loss, over all ranks."""
    rows: int


class Trainer:
    """What a step needs, put together once."""

    def __init__(
        self,
        config: SFTConfig,
        data: Mixture,
        plan: StepPlan,
        engine: Any,
        world: World,
    ) -> None:
        self._config = config
        self._data = data
        self._plan = plan
        self._engine = engine
        self._world = world
        steps = config.epochs * plan.steps_per_epoch
        self.total = steps if config.max_steps is None else min(steps, config.max_steps)

    def fit(
        self, steps_done: int, checkpoints: Checkpoints, records: Records, stop: StopRequest
    ) -> str | None:
        """Train from the step after `steps_done` to the last, or until somebody asks to stop.

        Returns:
            Who or what asked; None at the end.
        """
        with progress("sft", self.total, "steps", visible=self._world.is_main) as counter:
            counter.skip(steps_done)
            for step in self._steps(steps_done + 1):
                record = self.train_step(step)
                records.log(record)
                counter.advance(note=f"loss {record[metrics.LOSS]:.3f}")
                reason = stop.reason()
                stopping = self._world.any(reason is not None, self._engine.device)
                every = self._config.checkpoint.every_steps
                if stopping or step.number % every == 0 or step.number == self.total:
                    checkpoints.save(self._engine, step.number)
                if stopping and step.number < self.total:
                    return reason or "another rank was asked to stop"
        return None

    def _steps(self, first: int) -> Iterator[Step]:
        for number in range(first, self.total + 1):
            epoch, index = divmod(number - 1, self._plan.steps_per_epoch)
            packs = self._plan.step(self._config.seed, epoch, index)
            rows = self._plan.rows(packs)
            lengths = self._data.lengths[rows]
            yield Step(
                number=number,
                packs=packs,
                tokens=int(lengths.sum()),
                squared_lengths=int((lengths**2).sum()),
                supervised=int(self._data.counts[rows].sum()),
                rows=len(rows),
            )

    def train_step(self, step: Step) -> dict[str, float]:
        """Make one optimizer update; returns the step's metrics."""
        started = time.monotonic()
        rate = learning_rate(
            step.number, self.total, self._config.optimizer.lr, self._config.schedule
        )
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        nll = torch.zeros((), device=self._engine.device)
        for batch in self._micro_batches(step):
            local = nll_sum(self._engine, batch)
            backward(self._engine, local, step.supervised, self._world)
            nll += local.detach()
            self._engine.step()
        seconds = time.monotonic() - started
        return self._record(step, rate, float(self._world.sum(nll)), seconds)

    def _micro_batches(self, step: Step) -> Iterator[Batch]:
        """This rank's passes of a step; as many on every rank."""
        device = self._engine.device
        padded = self._config.batch.layout is not Layout.packed
        for packs in self._plan.divide(step.packs, self._world.size)[self._world.rank]:
            rows = [self._data.row(row) for row in self._plan.rows(packs)]
            yield Batch.of(rows, device, padded=padded) if rows else Batch.empty(device)

    def _record(self, step: Step, rate: float, nll: float, seconds: float) -> dict[str, float]:
        shape: LlamaShape = self._config.model.shape
        flops = shape.training_flops(step.tokens, step.squared_lengths)
        return {
            metrics.STEP: step.number,
            metrics.EPOCH: step.number / self._plan.steps_per_epoch,
            metrics.LOSS: nll / step.supervised,
            metrics.GRAD_NORM: float(self._engine.get_global_grad_norm() or 0.0),
            metrics.LEARNING_RATE: rate,
            metrics.ROWS: step.rows,
            metrics.TOKENS: step.tokens,
            metrics.SUPERVISED_TOKENS: step.supervised,
            metrics.STEP_SECONDS: seconds,
            metrics.TOKENS_PER_SECOND: step.tokens / seconds,
            metrics.TFLOPS: flops / seconds / self._world.size / 1e12,
        }
