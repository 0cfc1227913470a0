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
from sft.checkpoint import Checkpoints
from sft.config import SFTConfig
from sft.engine import backward
from sft.loss import nll_sum
from sft.packing import Pack, StepPlan, divide
from sft.records import Records
from sft.rows import TokenizedRows
from sft.schedule import learning_rate


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: its packs over all ranks, and what they hold."""

    number: int
    """From 1."""
    packs: list[Pack]
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
        data: TokenizedRows,
        plan: StepPlan,
        engine: Any,
        world: World,
    ) -> None:
        self._config = config
        self._data = data
        self._lengths = [len(row.ids) for row in data.rows]
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
            rows = [row for pack in packs for row in pack]
            yield Step(
                number=number,
                packs=packs,
                tokens=sum(self._lengths[row] for row in rows),
                squared_lengths=sum(self._lengths[row] ** 2 for row in rows),
                supervised=sum(self._data.rows[row].num_supervised for row in rows),
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
        packs = divide(step.packs, self._lengths, self._world.size)[self._world.rank]
        passes = self._engine.gradient_accumulation_steps()
        for index in range(passes):
            first, last = index * len(packs) // passes, (index + 1) * len(packs) // passes
            rows = [self._data.rows[row] for pack in packs[first:last] for row in pack]
            device = self._engine.device
            yield Batch.of(rows, device) if rows else Batch.empty(device)

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
