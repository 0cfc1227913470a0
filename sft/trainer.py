"""The training loop: steps of fixed packs, one optimizer update each."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from pacos.console import progress
from pacos.distributed import World
from pacos.run.stop import LEAST_RESERVE, Stopped
from pacos.tracking import metrics
from sft.checkpoints.protocol import Checkpoints
from sft.config import SFTConfig
from sft.configs.batch import Layout
from sft.data.mixture import Mixture
from sft.engine.deepspeed import COLLECTIVE_TIMEOUT, backward
from sft.engine.optimizer import learning_rate
from sft.model.loss import nll_sum
from sft.monitor.health import Patience
from sft.monitor.probe import EVERY_STEPS, Probe
from sft.monitor.stopping import Stopping
from sft.monitor.wall_time import STEPS, WallTime
from sft.monitor.watchdog import Watchdog
from sft.records import Records
from sft.steps.batch import Batch
from sft.steps.plan import StepPlan
from sft.steps.record import RankShare, Step, StepRecord
from sft.validation.inloop import InLoop

LONG_STEP_SECONDS = 30.0
"""A step that takes longer is left at its next pass when a stop is asked for."""


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
        stopping: Stopping,
        watchdog: Watchdog,
    ) -> None:
        self._config = config
        self._data = data
        self._plan = plan
        self._engine = engine
        self._checkpoints = checkpoints
        self._world = world
        self._stopping = stopping
        self._watchdog = watchdog
        self._is_long = True
        """Whether a stop must not wait for the end of a step; of the first nobody knows."""
        self._probe = Probe(engine.device)
        steps = config.epochs * plan.steps_per_epoch
        self.total = steps if config.max_steps is None else min(steps, config.max_steps)

    def fit(self, steps_done: int, validation: InLoop, records: Records) -> None:
        """Train from the step after `steps_done` to the last.

        Raises:
            Stopped: asked to; every whole step is saved.
            UserError: loss or gradient is not finite, more often than the config allows, or a
                checkpoint could not be written.
        """
        patience = Patience(self._config.health, self._world.barrier)
        wall, every = records.wall, self._config.checkpoint.every_steps
        done = saved = self._watchdog.step = steps_done
        try:
            # A life before may have been stopped when it had made this step, or before any.
            if self._world.any(records.lacks_validation(done) or not done, self._engine.device):
                with wall.on("validation"):
                    records.log_measured(done, validation.at(done, self.total))
            with progress("sft", self.total, "steps", visible=self._world.is_main) as counter:
                counter.skip(steps_done)
                for step in self._steps(steps_done + 1):
                    with wall.on(STEPS):
                        record = self.train_step(step)
                    done = self._watchdog.step = step.number
                    measured = self._measure(record, validation, records)
                    patience.check(record)
                    if record.stop_requested:
                        self._stopping.stop()
                    counter.advance(note=f"loss {record.loss:.3f}")
                    if done == self.total or done % every == 0:
                        self._save(done, measured, wall)
                        saved = done
                    if record.save_failed:
                        self._finish(wall)
                    self._learn(record, wall)
        except Stopped:
            if done > saved:
                self._save(done, {}, wall)
            self._finish(wall)
            raise
        self._finish(wall)

    def _measure(
        self, record: StepRecord, validation: InLoop, records: Records
    ) -> Mapping[str, float]:
        """What is measured after a step, recorded with it; nothing, if a stop comes in between."""
        measured: Mapping[str, float] = {}
        try:
            if record.is_finite and not record.stop_requested:
                with records.wall.on("validation"):
                    measured = validation.at(record.step.number, self.total)
        finally:
            records.log(record, measured)
        return measured

    def _save(self, step: int, measured: Mapping[str, float], wall: WallTime) -> None:
        self._watchdog.beat("checkpoint", at_least=COLLECTIVE_TIMEOUT.total_seconds())
        with wall.on("checkpoints"):
            self._checkpoints.save(step, measured.get(metrics.VALIDATION_LOSS))

    def _finish(self, wall: WallTime) -> None:
        """Wait for the save under way."""
        self._watchdog.beat("end of checkpoint", at_least=COLLECTIVE_TIMEOUT.total_seconds())
        with wall.on("checkpoints"):
            self._checkpoints.finish()

    def _learn(self, record: StepRecord, wall: WallTime) -> None:
        """How long steps and checkpoints take, for a stop that comes in time."""
        longest = max(rank.seconds for rank in record.ranks)
        self._is_long = longest > LONG_STEP_SECONDS
        needed = wall.longest(STEPS) + self._checkpoints.seconds
        self._stopping.request.reserve = LEAST_RESERVE + 2 * needed

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
                supervised=int(self._data.num_supervised[rows].sum()),
            )

    def train_step(self, step: Step) -> StepRecord:
        """Make one optimizer update.

        Raises:
            Stopped: on every rank, before the update.
        """
        started = time.monotonic()
        rate = learning_rate(
            step.number, self.total, self._config.optimizer.lr, self._config.schedule
        )
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        nll, data_seconds = [], 0.0
        for rows in step.passes[self._world.rank * len(step.passes) // self._world.size]:
            if self._is_long:
                self._stopping.check("pass")
            self._watchdog.beat("pass")
            asked = time.monotonic()
            batch = self._batch(rows)
            data_seconds += time.monotonic() - asked
            local = nll_sum(self._engine, batch)
            backward(self._engine, guarded(local), step.supervised, self._world)
            nll.append(local.detach())
            self._engine.step()
        is_probed = step.number % EVERY_STEPS == 0
        probe_seconds = self._probe.seconds() if is_probed else 0.0
        self._watchdog.beat("end of step")
        ranks = self._exchange(
            RankShare(
                nll=torch.stack(nll),
                data_seconds=data_seconds,
                peak_bytes=self._peak_bytes(),
                probe_seconds=probe_seconds,
                seconds=time.monotonic() - started,
                stop_requested=self._stopping.is_asked(),
                save_failed=self._checkpoints.failed,
            )
        )
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

    def _exchange(self, share: RankShare) -> list[RankShare]:
        """Return what every rank measured: the one collective, and the one wait, of a step."""
        own = share.pack()
        table = torch.zeros(self._world.size, len(own), dtype=own.dtype, device=own.device)
        table[self._world.rank] = own
        return [RankShare.unpack(row) for row in self._world.sum(table).cpu()]

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
