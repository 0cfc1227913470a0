"""The memory and time that a config needs on given machines, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from launch.plan.machine import Machine
from sft.config import SFTConfig
from sft.configs.deepspeed import Offload
from sft.estimate.memory import RankMemory, node_host_bytes, rank_memory
from sft.estimate.speed import StepTime, step_time
from sft.estimate.workload import Epoch, Workload

ESTIMATE_ERROR = 0.1
"""Largest error of the estimated tensor memory, as a share. A config that exceeds the memory by
more cannot run and is refused; the tests hold the estimate to the same bound."""
HEADROOM = 0.05
"""Share of memory that must stay free for a config to count as fitting."""


class MemoryFit(Enum):
    """The relation of estimated to available memory."""

    fits = "fits"
    tight = "tight"
    """Too close to tell, given ESTIMATE_ERROR."""
    too_large = "too large"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A config, and the memory and time that it needs."""

    config: SFTConfig
    work: Workload
    memory: RankMemory
    host_bytes: float
    """Host memory of one node."""
    device_fit: MemoryFit
    """The fit into a GPU, or into a CPU rank's share of its machine."""
    host_fit: MemoryFit
    """The fit into a node's host memory; `fits` if that is unknown."""
    time: StepTime | None
    """None on CPUs, for which no speed is published."""

    @classmethod
    def of(cls, config: SFTConfig, epoch: Epoch, machine: Machine) -> Estimate:
        """Estimate a config on machines of this kind."""
        gpu = machine.gpu is not None
        work = Workload.of(config, epoch)
        memory = rank_memory(config, work, gpu=gpu)
        host = node_host_bytes(config, gpu=gpu)
        available = machine.host_bytes
        return cls(
            config=config,
            work=work,
            memory=memory,
            host_bytes=host,
            device_fit=_fit(memory.device_bytes(), memory.tensor_bytes(), machine.device_bytes),
            host_fit=MemoryFit.fits if available is None else _fit(host, host, available),
            time=None if machine.gpu is None else step_time(config, work, machine.gpu),
        )

    def fits(self) -> bool:
        return self.device_fit is self.host_fit is MemoryFit.fits

    def is_too_large(self) -> bool:
        return MemoryFit.too_large in (self.device_fit, self.host_fit)

    def offloads(self) -> bool:
        zero = self.config.deepspeed
        return (zero.offload_optimizer, zero.offload_parameters) != (Offload.none, Offload.none)

    def hours(self) -> tuple[float, float]:
        """Return the hours of all steps, at the fast and at the slow end. Requires a `time`."""
        assert self.time is not None
        fast, slow = self.time.seconds()
        return self.work.steps * fast / 3600, self.work.steps * slow / 3600

    def tokens_per_second(self) -> tuple[float, float] | None:
        """Return tokens per second of one rank, at the slow and at the fast end."""
        if self.time is None:
            return None
        fast, slow = self.time.seconds()
        tokens = self.work.step_tokens / self.config.cluster.world_size()
        return tokens / slow, tokens / fast


def _fit(needed: float, tensors: float, available: float) -> MemoryFit:
    if needed <= (1 - HEADROOM) * available:
        return MemoryFit.fits
    # Only tensors are sure to be there: fragmentation and process overhead vary by machine.
    if (1 - ESTIMATE_ERROR) * tensors > available:
        return MemoryFit.too_large
    return MemoryFit.tight
