"""One way to run a config: its memory and time on given machines, and whether it fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from launch.plan.machine import Machine
from sft.config import SFTConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.deepspeed import Offload
from sft.estimate.memory import RankMemory, host_bytes, rank_memory
from sft.estimate.speed import StepTime, step_time
from sft.estimate.workload import Epoch, Workload

DOUBT = 0.1
"""Share of the predicted tensors that may be wrong: what exceeds memory by more surely does."""
ROOM = 0.05
"""Share of memory that has to stay free for a way to be recommended."""
MICRO_PACKS = (1, 2, 4, 8, 16)


class Verdict(Enum):
    """Whether something fits."""

    fits = "fits"
    tight = "tight"
    """Within what the prediction may be wrong by."""
    too_large = "too large"


@dataclass(frozen=True, slots=True)
class Option:
    """A config with what it needs."""

    config: SFTConfig
    work: Workload
    memory: RankMemory
    host: float
    """Bytes of host memory of one machine."""
    device: Verdict
    """Of the memory of a GPU, or of CPU ranks."""
    on_host: Verdict
    time: StepTime | None
    """None on CPUs, whose speed nobody has published."""

    @classmethod
    def of(cls, config: SFTConfig, epoch: Epoch, machine: Machine) -> Option:
        """Predict a config on such machines."""
        gpu = machine.gpu is not None
        work = Workload.of(config, epoch)
        memory = rank_memory(config, work, gpu=gpu)
        host = host_bytes(config, gpu=gpu)
        most = machine.host_bytes
        return cls(
            config=config,
            work=work,
            memory=memory,
            host=host,
            device=_verdict(memory.device(), memory.tensors(), machine.device_bytes),
            on_host=Verdict.fits if most is None else _verdict(host, host, most),
            time=None if machine.gpu is None else step_time(config, work, machine.gpu),
        )

    def fits(self) -> bool:
        return self.device is self.on_host is Verdict.fits

    def is_too_large(self) -> bool:
        return Verdict.too_large in (self.device, self.on_host)

    def offloads(self) -> bool:
        zero = self.config.deepspeed
        return (zero.offload_optimizer, zero.offload_parameters) != (Offload.none, Offload.none)

    def hours(self) -> tuple[float, float]:
        """Of all steps, at the fast and at the slow end; only where there is a time."""
        assert self.time is not None
        fast, slow = self.time.seconds()
        return self.work.steps * fast / 3600, self.work.steps * slow / 3600

    def tokens_per_second(self) -> tuple[float, float] | None:
        """Of one rank: at the slow and at the fast end."""
        if self.time is None:
            return None
        fast, slow = self.time.seconds()
        each = self.work.step_tokens / self.config.cluster.world_size()
        return each / slow, each / fast


def _verdict(needed: float, tensors: float, memory: float) -> Verdict:
    if needed <= (1 - ROOM) * memory:
        return Verdict.fits
    return Verdict.too_large if (1 - DOUBT) * tensors > memory else Verdict.tight


def vary(config: SFTConfig, **changes: Any) -> SFTConfig:
    """A config with other values of its own, of `deepspeed`, or `micro_packs`."""
    zero = {key: changes.pop(key) for key in list(changes) if hasattr(config.deepspeed, key)}
    packs = changes.pop("micro_packs", config.batch.micro_packs)
    return dataclasses.replace(
        config,
        deepspeed=dataclasses.replace(config.deepspeed, **zero),
        batch=dataclasses.replace(config.batch, micro_packs=packs),
        **changes,
    )


def divisions(config: SFTConfig) -> Iterator[SFTConfig]:
    """Every ZeRO stage, with what it can offload to host memory, that goes with the rest."""
    none, cpu = Offload.none, Offload.cpu
    hpz = (
        (False, True)
        if config.cluster.nodes > 1 and config.cluster.ranks_per_node > 1
        else (False,)
    )
    ways = [(stage, none, none, False) for stage in (0, 1, 2)]
    ways += [(2, cpu, none, False)]
    for second in hpz:
        ways += [(3, none, none, second), (3, cpu, none, second)]
    ways += [(3, cpu, cpu, False)]
    wrong = {problem.key for problem in config.problems()}
    for stage, optimizer, parameters, second in ways:
        other = vary(
            config,
            stage=stage,
            offload_optimizer=optimizer,
            offload_parameters=parameters,
            parameters_per_node=second,
        )
        if {problem.key for problem in other.problems()} <= wrong:
            yield other


def alternatives(config: SFTConfig, work: Workload) -> Iterator[SFTConfig]:
    """Every division, with all ways of checkpointing and all sizes of a pass."""
    packs = -(-len(work.epoch.plan.packs) // work.epoch.plan.steps_per_epoch)
    most = -(-packs // config.deepspeed.data_ranks(config.cluster.world_size()))
    wrong = {problem.key for problem in config.problems()}
    for division in divisions(config):
        for checkpointing in ActivationCheckpointing:
            for micro_packs in MICRO_PACKS:
                if micro_packs > 1 and micro_packs > most:
                    break
                other = vary(
                    division, activation_checkpointing=checkpointing, micro_packs=micro_packs
                )
                if {problem.key for problem in other.problems()} <= wrong:
                    yield other
