"""The training loop: steps of fixed packs, one optimizer update each."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from pacos import metrics
from pacos.console import progress
from pacos.distributed import World
from pacos.stop import StopRequest
from sft.batch import Batch
from sft.batch_config import Layout
from sft.checkpoints.protocol import Checkpoints
from sft.config import SFTConfig
from sft.engine import backward
from sft.health import Patience
from sft.inloop import InLoop
from sft.loss import nll_sum
from sft.mixture import Mixture
from sft.probe import EVERY_STEPS, Probe
from sft.records import Records
from sft.schedule import learning_rate
from sft.step_plan import StepPlan
from sft.step_record import RankShare, Step, StepRecord
from sft.wall_time import STEPS


class Trainer:
    """What a step needs, put together once."""

    def __init__(
        self,
        config: SFTConfig,
        data: Mixture,
        plan: StepPlan,
        engine: Any,
        checkpoints: Checkpoints,
        world: World,
        stop: StopRequest,
    ) -> None:
        self._config = config
        self._data = data
        self._plan = plan
        self._engine = engine
        self._checkpoints = checkpoints
        self._world = world
        self._stop = stop
        self._probe = Probe(engine.device)
        steps = config.epochs * plan.steps_per_epoch
        self.total = steps if config.max_steps is None else min(steps, config.max_steps)

    def fit(self, steps_done: int, validation: InLoop, records: Records) -> str | None:
        """Train from the step after `steps_done` to the last, or until somebody asks to stop.

        Returns:
            Who or what asked; None at the end.

        Raises:
            UserError: loss or gradient is not finite, more often than the config allows, or a
                checkpoint could not be written.
        """
        patience = Patience(self._config.health, self._world.barrier)
        wall = records.wall
        if steps_done == 0:
            with wall.on("validation"):
                records.log_start(validation.at(0, self.total))
        with progress("sft", self.total, "steps", visible=self._world.is_main) as counter:
            counter.skip(steps_done)
            for step in self._steps(steps_done + 1):
                with wall.on(STEPS):
                    record = self.train_step(step)
                with wall.on("validation"):
                    measured = validation.at(step.number, self.total) if record.is_finite else {}
                records.log(record, measured)
                patience.check(record)
                counter.advance(note=f"loss {record.loss:.3f}")
                last = step.number == self.total
                with wall.on("checkpoints"):
                    self._save(record, measured, ends=record.stop or last)
                if record.stop and not last:
                    return self._stop.reason() or "another rank was asked to stop"
        return None

    def _save(self, record: StepRecord, measured: Mapping[str, float], *, ends: bool) -> None:
        """Save if it is time to, or if the life ends: then it is also waited for."""
        step = record.step.number
        if ends or step % self._config.checkpoint.every_steps == 0:
            self._checkpoints.save(step, measured.get(metrics.VALIDATION_LOSS))
        if ends or record.save_failed:
            self._checkpoints.finish()

    def _steps(self, first: int) -> Iterator[Step]:
        for number in range(first, self.total + 1):
            epoch, index = divmod(number - 1, self._plan.steps_per_epoch)
            packs = self._plan.step(self._config.seed, epoch, index)
            rows = self._plan.rows(packs)
            lengths = self._data.lengths[rows]
            shares = self._plan.divide(packs, self._config.deepspeed.data_ranks(self._world.size))
            yield Step(
                number=number,
                epoch=number / self._plan.steps_per_epoch,
                passes=[[self._plan.rows(packs).tolist() for packs in share] for share in shares],
                rows=len(rows),
                tokens=int(lengths.sum()),
                squared_lengths=int((lengths**2).sum()),
                supervised=int(self._data.counts[rows].sum()),
            )

    def train_step(self, step: Step) -> StepRecord:
        """Make one optimizer update."""
        started = time.monotonic()
        rate = learning_rate(
            step.number, self.total, self._config.optimizer.lr, self._config.schedule
        )
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        nll, data_seconds = [], 0.0
        for rows in step.passes[self._world.rank * len(step.passes) // self._world.size]:
            asked = time.monotonic()
            batch = self._batch(rows)
            data_seconds += time.monotonic() - asked
            local = nll_sum(self._engine, batch)
            backward(self._engine, guarded(local), step.supervised, self._world)
            nll.append(local.detach())
            self._engine.step()
        is_probed = step.number % EVERY_STEPS == 0
        probe_seconds = self._probe.seconds() if is_probed else 0.0
        stop = self._stop.reason() is not None
        measured = [data_seconds, self._peak_bytes(), probe_seconds, stop, self._checkpoints.failed]
        ranks = self._exchange(nll, measured)
        return StepRecord(
            step=step,
            rate=rate,
            grad_norm=self._grad_norm(),
            updated=self._engine.was_step_applied(),
            seconds=time.monotonic() - started,
            ranks=ranks,
        )

    def _grad_norm(self) -> float | None:
        norm = self._engine.get_global_grad_norm()
        return None if norm is None else float(norm)

    def _batch(self, rows: Sequence[int]) -> Batch:
        device = self._engine.device
        if not rows:
            return Batch.empty(device)
        padded = self._config.batch.layout is not Layout.packed
        return Batch.of([self._data.row(row) for row in rows], device, padded=padded)

    def _exchange(self, nll: list[torch.Tensor], measured: list[float]) -> list[RankShare]:
        """Tell every rank what this one measured: the one collective, and the one wait, of a step.

        Args:
            nll: of each pass.
            measured: the other fields of a RankShare, in order.
        """
        device = self._engine.device
        told = torch.tensor(measured, dtype=torch.float64).to(device)
        own = torch.cat([torch.stack(nll).double(), told])
        table = torch.zeros(self._world.size, len(own), dtype=torch.float64, device=device)
        table[self._world.rank] = own
        passes = len(nll)
        return [RankShare(row[:passes], *row[passes:]) for row in self._world.sum(table).tolist()]

    def _peak_bytes(self) -> float:
        device = self._engine.device
        if device.type != "cuda":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak


def guarded(nll: torch.Tensor) -> torch.Tensor:
    """The loss itself; where it is not finite, all of its gradient is not either.

    So DeepSpeed, which looks at the gradient norm on the device before an update, makes none, and
    nobody has to wait for the loss to be read.
    """
    finite = torch.isfinite(nll.detach())
    return nll * torch.where(finite, 1.0, torch.nan)
