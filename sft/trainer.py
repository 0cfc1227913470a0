"""The training loop: steps of fixed packs, one optimizer update each."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping

import torch

from pacos.console import progress
from pacos.run.stop import Stopped
from pacos.tracking import metrics
from sft.checkpoints.protocol import Checkpoints
from sft.config import SFTConfig
from sft.engine.deepspeed import COLLECTIVE_TIMEOUT, backward
from sft.engine.optimizer import learning_rate
from sft.engine.protocol import Engine
from sft.model.loss import nll_sum
from sft.monitor.health import Patience
from sft.monitor.probe import EVERY_STEPS, Probe
from sft.monitor.wall_time import STEPS
from sft.rank_context import RankContext
from sft.records import Records
from sft.steps.record import RankShare, Step, StepRecord
from sft.steps.stream import StepStream
from sft.validation.inloop import InLoopEvaluation

LONG_STEP_SECONDS = 30.0
"""A longer step can be stopped between its passes. A shorter one is finished first, because a
question at each pass is a collective at each pass."""


class Trainer:
    """Runs the training loop on one rank. Every rank runs the same loop."""

    def __init__(
        self,
        config: SFTConfig,
        rank: RankContext,
        engine: Engine,
        steps: StepStream,
        checkpoints: Checkpoints,
        evaluation: InLoopEvaluation,
        records: Records,
    ) -> None:
        self._config = config
        self._rank = rank
        self._engine = engine
        self._steps = steps
        self._checkpoints = checkpoints
        self._evaluation = evaluation
        self._records = records
        self._wall = records.wall
        self._pass_stop = rank.stop.during("pass")
        # How long a step takes is not known before the first one.
        self._is_step_long = True
        self._probe = Probe(rank.device)

    def fit(self, steps_done: int) -> None:
        """Train from the step after `steps_done` to the last.

        Raises:
            Stopped: the run was asked to stop; every finished step is saved.
            UserError: loss or gradient was not finite more often than the config allows, or a
                checkpoint could not be written.
        """
        last, every = self._steps.last, self._config.checkpoint.every_steps
        patience = Patience(self._config.health, self._rank.world.barrier)
        done = saved = steps_done
        self._rank.watchdog.step_done(done)
        try:
            self._evaluate_before(done)
            with progress("sft", last, "steps", visible=self._rank.world.is_main) as counter:
                counter.skip(steps_done)
                for step in self._steps.after(steps_done):
                    with self._wall.on(STEPS):
                        record = self.train_step(step)
                    done = step.number
                    self._rank.watchdog.step_done(done)
                    measured = self._record(record)
                    patience.check(record)
                    if record.stop_requested:
                        self._rank.stop.stop()
                    counter.advance(note=f"loss {record.loss:.3f}")
                    if done == last or done % every == 0:
                        self._save(done, measured)
                        saved = done
                    # All ranks wait for the failed save, so that all end with its reason.
                    if record.save_failed:
                        self._finish_save()
                    self._update_reserve(record)
        except Stopped:
            if done > saved:
                self._save(done, {})
            self._finish_save()
            raise
        self._finish_save()

    def train_step(self, step: Step) -> StepRecord:
        """Make one optimizer update.

        Raises:
            Stopped: on every rank, before the update.
        """
        started = time.monotonic()
        rate = learning_rate(
            step.number, self._steps.last, self._config.optimizer.lr, self._config.schedule
        )
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        nll, data_seconds = [], 0.0
        for rows in self._steps.own_passes(step):
            if self._is_step_long:
                self._pass_stop.check()
            self._rank.watchdog.beat("pass")
            batch_started = time.monotonic()
            batch = self._steps.batch(rows, self._rank.device)
            data_seconds += time.monotonic() - batch_started
            local = nll_sum(self._engine, batch)
            backward(self._engine, poison_nonfinite(local), step.supervised, self._rank.world)
            # Kept on the device: reading it would wait for the pass to end.
            nll.append(local.detach())
            self._engine.step()
        is_probed = step.number % EVERY_STEPS == 0
        probe_seconds = self._probe.seconds() if is_probed else 0.0
        self._rank.watchdog.beat("end of step")
        ranks = self._exchange(
            RankShare(
                nll=torch.stack(nll),
                data_seconds=data_seconds,
                peak_bytes=self._peak_bytes(),
                probe_seconds=probe_seconds,
                seconds=time.monotonic() - started,
                stop_requested=self._rank.stop.is_requested,
                save_failed=self._checkpoints.failed,
            )
        )
        norm = self._engine.get_global_grad_norm()
        return StepRecord(
            step=step,
            rate=rate,
            grad_norm=None if norm is None else float(norm),
            updated=self._engine.was_step_applied(),
            seconds=time.monotonic() - started,
            ranks=ranks,
        )

    def _exchange(self, share: RankShare) -> list[RankShare]:
        """Return what every rank measured: the one collective, and the one wait, of a step."""
        own, world = share.pack(), self._rank.world
        # Each rank fills its own row, so the sum is an all-gather.
        table = torch.zeros(world.size, len(own), dtype=own.dtype, device=own.device)
        table[world.rank] = own
        return [RankShare.unpack(row) for row in world.sum(table).cpu()]

    def _evaluate_before(self, steps_done: int) -> None:
        """Measure before the first step, or what a life that was stopped did not get to."""
        lacks = self._records.lacks_validation(steps_done)
        # Only rank 0 knows the records.
        if self._rank.world.any(lacks or not steps_done, self._rank.device):
            with self._wall.on("validation"):
                measured = self._evaluation.measure(steps_done, self._steps.last)
                self._records.log_measured(steps_done, measured)

    def _record(self, record: StepRecord) -> Mapping[str, float]:
        """Measure what is due after a step, and record both; return what was measured."""
        measured: Mapping[str, float] = {}
        try:
            if record.is_finite and not record.stop_requested:
                with self._wall.on("validation"):
                    measured = self._evaluation.measure(record.step.number, self._steps.last)
        finally:
            # Also if a stop comes during the measurement: the step itself was made.
            self._records.log(record, measured)
        return measured

    def _save(self, step: int, measured: Mapping[str, float]) -> None:
        self._rank.watchdog.beat("checkpoint", at_least=COLLECTIVE_TIMEOUT.total_seconds())
        with self._wall.on("checkpoints"):
            self._checkpoints.save(step, measured.get(metrics.VALIDATION_LOSS))

    def _finish_save(self) -> None:
        """Wait for the save in progress."""
        self._rank.watchdog.beat("end of checkpoint", at_least=COLLECTIVE_TIMEOUT.total_seconds())
        with self._wall.on("checkpoints"):
            self._checkpoints.finish()

    def _update_reserve(self, record: StepRecord) -> None:
        """Learn how long steps and checkpoints take, so that a stop comes in time."""
        longest = max(rank.seconds for rank in record.ranks)
        self._is_step_long = longest > LONG_STEP_SECONDS
        self._rank.stop.reserve(self._wall.longest(STEPS) + self._checkpoints.seconds)

    def _peak_bytes(self) -> float:
        device = self._rank.device
        if device.type != "cuda":
            # Linux counts it in KiB.
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak


def poison_nonfinite(nll: torch.Tensor) -> torch.Tensor:
    """Return the loss; if it is not finite, its whole gradient is NaN.

    DeepSpeed looks at the gradient norm on the device before an update, and then makes none. So a
    bad step is skipped on every rank without waiting for any loss to be read.
    """
    is_finite = torch.isfinite(nll.detach())
    return nll * torch.where(is_finite, 1.0, torch.nan)
