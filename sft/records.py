"""The records of a training run: manifest, metrics, health, attempts, result."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path

from pacos.configs.cluster import Device
from pacos.configs.license import terms_record
from pacos.distributed import World
from pacos.errors import EXIT_CRASH, EXIT_DONE
from pacos.files import read_jsonl, write_json, write_jsonl
from pacos.gpus import peak_flops
from pacos.identity import flatten
from pacos.run.lives import Lives
from pacos.run.manifest import add_inputs
from pacos.run.stop import Stopped
from pacos.run_paths import ORIGIN, RunPaths
from pacos.text.counted import counted
from pacos.tracking import metrics
from pacos.tracking.history import cut_after
from pacos.tracking.open import NullTracker, open_tracker
from pacos.tracking.protocol import Record, Tracker
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.terms import row_inputs
from sft.data.mixture import Mixture
from sft.monitor.health import WINDOW, Health
from sft.monitor.wall_time import WallTime
from sft.steps.record import StepRecord
from sft.steps.stream import StepStream

log = logging.getLogger(__name__)


class Records:
    """The records of one life. Every rank calls the methods; only rank 0 writes."""

    def __init__(self, config: SFTConfig, run: RunPaths, world: World, wall: WallTime) -> None:
        self.wall = wall
        """Wall time of this life, which the training loop counts."""
        self.samples = run.samples
        """File of answers to held-out rows."""
        self._config = config
        self._run = run
        self._world = world
        self._tracker: Tracker = NullTracker()
        self._health: Health | None = None
        self._peak_flops: float | None = None
        self._last: Record = {}
        self._validation_loss: float | None = None

    def begin(
        self,
        data: Mixture,
        held: Mixture,
        steps: StepStream,
        facts: Mapping[str, object],
        steps_done: int,
        hosts: Sequence[str],
    ) -> None:
        """Record the inputs, cut the records of steps that will be repeated, open the tracker.

        Args:
            data: the rows trained on.
            held: the held-out rows.
            steps: the steps of the run.
            facts: what else the manifest says about the rows.
            steps_done: steps of earlier lives that their checkpoints kept.
            hosts: name of each rank's machine.
        """
        if not self._world.is_main:
            return
        ranks = self._world.size
        Lives(self._run).note(first_step=steps_done + 1, ranks=ranks, gpu=_gpu(self._config))
        data_ranks = self._config.deepspeed.data_ranks(ranks)
        log.info(steps.plan.summary(data.lengths, self._config.seed, data_ranks))
        steps.trained_rows().write(self._run.rows)
        # Held-out rows that were split off have the sources of the training rows.
        sources = [data] if held.parts is data.parts else [data, held]
        dropped = [row for source in sources for row in source.dropped]
        quarantined = [row for source in sources for row in source.quarantined]
        for name, rows in (("dropped", dropped), ("quarantined", quarantined)):
            if rows:
                listed = self._run.excluded_rows(name)
                write_jsonl(listed, rows)
                log.warning(
                    f"{counted(len(rows), 'row')} {name}, completely or in part; see {listed}"
                )
        works = row_inputs(self._config.model, self._config.data, data.terms)
        terms = terms_record(works, self._config.license_policy, self._config.license_waiver)
        data_terms = sorted({work["stated"] for work in terms["inputs"] if work["role"] == "data"})
        lineage = {"weights": self._config.model.license, "data": data_terms}
        inputs = data.inputs("data")
        if held.parts is not data.parts:
            inputs |= held.inputs("validation")
        if self._config.model.chat_template is not None:
            inputs["chat template"] = Path(self._config.model.chat_template).expanduser()
        # The fingerprint of a model that pacos trained: it names the hashes of its weights.
        origin = Path(self._config.model.path).expanduser() / ORIGIN
        if origin.is_file():
            inputs["weights"] = origin
        add_inputs(self._run, inputs, lineage=lineage, terms=terms, rows=len(data), **facts)
        events = self._run.health
        for file in (self._run.metrics, self.samples, events):
            # Without a checkpoint the run starts over, including the validation at step 0.
            cut_after(file, steps_done or -1)
        self._health = Health(
            self._config.health, events, data.place, data.num_supervised.item, hosts
        )
        history = list(read_jsonl(self._run.metrics))
        self._health.recall(history[-WINDOW:])
        for record in history:
            self._remember(record)
        self._peak_flops = _peak_flops(self._config.precision)
        self._tracker = open_tracker(
            self._config.tracking,
            self._run,
            flatten(self._config),
            is_main=True,
        )

    def log_measured(self, step: int, measured: Mapping[str, float]) -> None:
        """Record a measurement between steps, if there was one."""
        if measured and self._world.is_main:
            self._log({metrics.STEP: step, **measured})

    def log(self, record: StepRecord, measured: Mapping[str, float]) -> None:
        """Record a step, and what was measured after it."""
        if self._health is None:
            return
        self._health.look(record)
        line = record.metrics(self._config.model.shape, self._peak_flops)
        self._log({**line, metrics.GOODPUT: self.wall.goodput(), **measured})

    def _log(self, record: Record) -> None:
        self._remember(record)
        self._tracker.log(record)

    def _remember(self, record: Record) -> None:
        # A measurement comes in a record of its own if an earlier life made its step.
        is_same_step = record[metrics.STEP] == self._last.get(metrics.STEP)
        self._last = {**self._last, **record} if is_same_step else record
        loss = record.get(metrics.VALIDATION_LOSS)
        self._validation_loss = loss if isinstance(loss, float) else self._validation_loss

    def lacks_validation(self, step: int) -> bool:
        """Return True if a step was recorded, but not the measurement that followed it.

        So it is when a stop came in between. A step whose loss was not finite is not measured.
        """
        last = self._last
        watched = [last.get(name, 0.0) for name in (metrics.LOSS, metrics.GRAD_NORM)]
        measured = [
            name
            for name in last
            if name == metrics.VALIDATION_LOSS or name.startswith(f"{metrics.SUITE}/")
        ]
        return (
            last.get(metrics.STEP) == step
            and not measured
            and all(isinstance(value, float) and isfinite(value) for value in watched)
        )

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Close the records after the training inside, and write the result of a finished run."""
        try:
            yield
        except Stopped:
            self._close(EXIT_DONE)
            raise
        except BaseException:
            # The error itself matters more than one of a full disk, which may come of it.
            with contextlib.suppress(OSError):
                self._close(EXIT_CRASH)
            raise
        self._close(EXIT_DONE)
        if self._world.is_main:
            losses = {"loss": self._last.get(metrics.LOSS)}
            if self._validation_loss is not None:
                losses["validation_loss"] = self._validation_loss
            # A sweep minimizes the validation loss if there is one.
            name, value = [*losses.items()][-1]
            objective = {"name": name, "value": value, "higher_is_better": False}
            steps = self._last.get(metrics.STEP)
            write_json(self._run.result, {"objective": objective, **losses, "steps": steps})

    def _close(self, exit_code: int) -> None:
        self._tracker.close(exit_code)
        if self._world.is_main:
            last = self._last.get(metrics.STEP)
            Lives(self._run).note(last_step=last, seconds=self.wall.seconds())


def _gpu(config: SFTConfig) -> str | None:
    """Return the name of this rank's GPU; None on a CPU."""
    import torch

    on_gpu = config.cluster.device is not Device.cpu and torch.cuda.is_available()
    return torch.cuda.get_device_name() if on_gpu else None


def _peak_flops(precision: Precision) -> float | None:
    """Return the FLOP/s of this rank's GPU in bf16, or None if it is not known."""
    import torch

    if precision is Precision.fp32 or not torch.cuda.is_available():
        return None
    return peak_flops(torch.cuda.get_device_name())
