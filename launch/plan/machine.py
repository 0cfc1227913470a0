"""What the ranks of a run have: GPUs, their memory, and that of their machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pacos.configs.shared import ClusterConfig, Device, Launcher
from pacos.gpus import GPUS, Gpu, find_gpu, gpu_here

USUAL = "H100"
"""GPU of a cluster that does not say which it has."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of a run."""

    gpu: Gpu | None
    """None: its ranks compute on CPUs."""
    name: str
    """Of what ranks compute on, for people."""
    known: str
    """How that is known, in words."""
    device_bytes: float
    """Memory of one GPU; of CPU ranks, each one's part of the machine's."""
    host_bytes: float | None
    """Memory of the machine; None where it is not this one."""


def machine_of(cluster: ClusterConfig) -> Machine:
    """The machine that a config's ranks will be on, as far as it can be known here."""
    here = cluster.launcher is Launcher.local and cluster.nodes == 1
    host = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if here else None
    seen = None
    if here and cluster.gpu is None and cluster.device is not Device.cpu:
        seen = gpu_here()
    if cluster.device is Device.cpu or (
        here and cluster.device is Device.auto and seen is None and cluster.gpu is None
    ):
        memory = host or float("inf")
        return Machine(None, "CPU", "of this machine", memory / cluster.ranks_per_node, host)
    name, known = cluster.gpu or USUAL, "cluster.gpu" if cluster.gpu else "assumed; see cluster.gpu"
    gpu = find_gpu(name) or GPUS[USUAL]
    memory = gpu.memory_gib
    if seen is not None:
        name, memory, known = *seen, "nvidia-smi"
        gpu = find_gpu(name) or gpu
    memory = cluster.gpu_memory_gib or memory
    # Where no GPU was seen, the plan is for another machine than this.
    return Machine(gpu, name, known, memory * 2**30, host if seen is not None else None)
