"""Config of the machines and ranks that a stage runs on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import Enum

from pacos.errors import Problem
from pacos.gpus import GPUS, find_gpu

# Fewer forms than Slurm takes: there 90 and 90:00 both mean 90 minutes, which people misread.
TIME_LIMIT = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")
"""Days, hours, minutes and seconds of a Slurm time limit."""


class Launcher(Enum):
    """What starts the ranks."""

    local = "local"
    slurm = "slurm"


class Device(Enum):
    """What the ranks compute on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(kw_only=True, slots=True)
class ClusterConfig:
    """Machines and ranks of a run."""

    launcher: Launcher = Launcher.local
    """`local` starts ranks on this machine, `slurm` submits a job."""
    device: Device = Device.auto
    """`auto` uses CUDA where the rank sees a GPU, and the CPU elsewhere."""
    nodes: int = 1
    """Number of machines; more than one needs `slurm`."""
    ranks_per_node: int = 1
    """Ranks per machine: one per GPU."""
    threads_per_rank: int | None = None
    """CPU threads of each rank (OMP_NUM_THREADS). null: the machine's cores divided by its
    ranks."""
    partition: str | None = None
    """Slurm partition. null: the site's default."""
    account: str | None = None
    """Slurm account. null: the user's default."""
    qos: str | None = None
    """Slurm quality of service. null: the user's default."""
    time_limit: str = "24:00:00"
    """Slurm time limit of one life of the run, HH:MM:SS or D-HH:MM:SS. A longer run saves in time
    and continues in its next life."""
    memory: str | None = None
    """Host memory of the job per node, such as 200G. 0: all of it; null: the site's default."""
    exclude: list[str] = field(default_factory=list)
    """Nodes that Slurm must not use."""
    options: list[str] = field(default_factory=list)
    """Further sbatch options, spelled as on its command line:
    `['--constraint=h100', '--exclusive']`."""
    grace_seconds: int = 300
    """Seconds before the time limit at which Slurm asks the run to save (it may be 60 s early), and
    seconds that ranks may then take. Must exceed a step and a checkpoint together, or the work
    since the last checkpoint is lost."""
    at_once: int | None = None
    """Points of a sweep that Slurm runs at the same time. null: as many as find room. On one
    machine points always run one after another."""
    gpu: str | None = None
    """GPU model of the ranks, such as H100, H200 or A100, for `pacos plan` and the memory check.
    null: the GPU that nvidia-smi shows if ranks run on this machine, else H100."""
    gpu_memory_gib: float | None = None
    """Memory of a GPU in GiB. null: that of the model in `gpu`; an A100 counts as the 80 GB
    version."""
    network_gbps: float = 400.0
    """Network bandwidth of a node in Gbit/s, summed over its adapters (a DGX H100 has 3200). Only
    `pacos plan` reads it."""
    gpu_hour_usd: float | None = None
    """Price of a GPU hour in US dollars, for `pacos plan`. null: no costs are shown."""
    must_fit: bool = True
    """Refuse a run that cannot fit into GPU memory before it starts. false: start it anyway."""

    def world_size(self) -> int:
        """Return the number of ranks on all nodes."""
        return self.nodes * self.ranks_per_node

    def threads(self) -> int:
        """Return the number of CPU threads of each rank."""
        # Not os.cpu_count(): a job may own a part of the machine.
        cores = len(os.sched_getaffinity(0))
        return self.threads_per_rank or max(1, cores // self.ranks_per_node)

    def problems(self) -> list[Problem]:
        problems = []
        for key in ("nodes", "ranks_per_node", "threads_per_rank", "grace_seconds", "at_once"):
            value = getattr(self, key)
            if value is not None and value < 1:
                problems.append(Problem(f"cluster.{key}", value, "must be at least 1", "raise it"))
        problems += self._gpu_problems()
        if self.launcher is Launcher.local and self.nodes > 1:
            problems.append(
                Problem(
                    "cluster.nodes",
                    self.nodes,
                    "cluster=local starts ranks on this machine only",
                    "use cluster=slurm, or cluster.nodes=1",
                )
            )
        return [*problems, *self._time_problems()]

    def _time_problems(self) -> list[Problem]:
        key, limit = "cluster.time_limit", self.time_limit
        match = TIME_LIMIT.fullmatch(limit)
        if match is None:
            return [Problem(key, limit, "is not a time limit", "write HH:MM:SS or D-HH:MM:SS")]
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        allowed = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        # Slurm sends its signal that long before the limit: a shorter job would be asked to save
        # before its first step.
        if self.launcher is Launcher.slurm and allowed <= self.grace_seconds:
            fault = f"leaves no time to work before cluster.grace_seconds = {self.grace_seconds}"
            return [Problem(key, limit, fault, "raise it, or lower cluster.grace_seconds")]
        return []

    def _gpu_problems(self) -> list[Problem]:
        problems = []
        if self.gpu is not None and find_gpu(self.gpu) is None:
            fault = "is not a GPU whose speed pacos knows"
            remedy = f"choose the most similar of: {', '.join(GPUS)}"
            problems.append(Problem("cluster.gpu", self.gpu, fault, remedy))
        for key in ("gpu_memory_gib", "network_gbps"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                problems.append(Problem(f"cluster.{key}", value, "must be above 0", "raise it"))
        return problems
