"""The hardware that a run's ranks have: GPUs, their memory, and the memory of their node."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pacos.configs.cluster import ClusterConfig, Device, Launcher
from pacos.gpus import GPUS, Gpu, find_gpu, gpu_here

DEFAULT_GPU = "H100"
"""GPU assumed for a cluster that does not name its own."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One node of a run."""

    gpu: Gpu | None
    """None if its ranks compute on CPUs."""
    name: str
    """Name of the GPU, or CPU, for people."""
    known_from: str
    """Source of these numbers, for people."""
    device_bytes: float
    """Memory of one GPU; for CPU ranks, each one's share of the machine's memory."""
    host_bytes: float | None
    """Memory of the node; None if the plan is for another machine than this one."""


def machine_of(cluster: ClusterConfig) -> Machine:
    """Return the node that a config's ranks will run on, as far as it can be known from here."""
    here = cluster.launcher is Launcher.local and cluster.nodes == 1
    host = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if here else None
    detected = None
    if here and cluster.gpu is None and cluster.device is not Device.cpu:
        detected = gpu_here()
    if cluster.device is Device.cpu or (
        here and cluster.device is Device.auto and detected is None and cluster.gpu is None
    ):
        memory = host or float("inf")
        return Machine(None, "CPU", "of this machine", memory / cluster.ranks_per_node, host)
    name = cluster.gpu or DEFAULT_GPU
    known_from = "cluster.gpu" if cluster.gpu else "assumed; see cluster.gpu"
    gpu = find_gpu(name) or GPUS[DEFAULT_GPU]
    memory = gpu.memory_gib
    if detected is not None:
        name, memory, known_from = *detected, "nvidia-smi"
        gpu = find_gpu(name) or gpu
    memory = cluster.gpu_memory_gib or memory
    # A local plan on a machine without a GPU is for another machine, whose memory is unknown.
    return Machine(gpu, name, known_from, memory * 2**30, host if detected is not None else None)
