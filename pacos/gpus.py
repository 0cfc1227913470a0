"""Common GPUs in numbers: speed, memory, and links within a machine. Free of torch."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU model."""

    teraflops: float
    """Peak TFLOP/s of dense bf16 matrix products with fp32 accumulation, from the vendor's data
    sheet (half its figure with sparsity). The denominator of model FLOPs utilisation."""
    memory_gib: float
    """Memory in GiB as the driver reports it, a little less than the nominal GB."""
    link: float
    """Bandwidth in GB/s to the other GPUs of the machine, one direction: NVLink, else PCIe."""
    watts: float
    """Rated power in W from the vendor's data sheet: the most that it draws for long."""


GPUS = {
    "GB200": Gpu(2500.0, 185.0, 900, 1200),
    "B200": Gpu(2250.0, 179.1, 900, 1000),
    "GH200": Gpu(989.4, 95.6, 450, 1000),
    "H200 NVL": Gpu(835.5, 140.4, 450, 600),
    "H200": Gpu(989.4, 140.4, 450, 700),
    "H100 NVL": Gpu(835.5, 93.6, 300, 400),
    "H100 PCIe": Gpu(756.5, 79.6, 64, 350),
    "H100": Gpu(989.4, 79.6, 450, 700),
    "A100": Gpu(311.9, 80.0, 300, 400),
    "A40": Gpu(149.7, 45.0, 32, 300),
    "A10G": Gpu(70.0, 22.5, 32, 300),
    "A10": Gpu(125.0, 22.5, 32, 150),
    "L40S": Gpu(362.05, 45.0, 32, 350),
    "L40": Gpu(181.05, 45.0, 32, 300),
    "L4": Gpu(121.0, 22.5, 32, 72),
    "RTX 6000 Ada": Gpu(364.2, 48.0, 32, 300),
    "RTX A6000": Gpu(154.8, 48.0, 32, 300),
    "RTX 5090": Gpu(209.5, 31.8, 64, 575),
    "RTX 4090": Gpu(165.2, 24.0, 32, 450),
    "RTX 3090": Gpu(71.2, 24.0, 32, 350),
    "MI300X": Gpu(1307.4, 192.0, 448, 750),
    "MI250X": Gpu(383.0, 64.0, 100, 560),
}
"""By words of the name that torch reports. The first match counts, so longer names stand before
their prefixes. 'A100' is the 80 GB version."""


def find_gpu(name: str) -> Gpu | None:
    """Return the GPU model of a name; None if it is unknown or a slice of a GPU (MIG).

    Args:
        name: as reported by `torch.cuda.get_device_name` or nvidia-smi, or a key of `GPUS`.
    """
    # A MIG slice has a share of the cores and memory that its name does not say in full.
    if re.search(r"\bMIG\b", name):
        return None
    for known, gpu in GPUS.items():
        if re.search(rf"\b{known}\b", name, re.IGNORECASE):
            return gpu
    return None


def peak_flops(device_name: str) -> float | None:
    """Return the peak FLOP/s of a device in dense bf16; None if `find_gpu` does not know it."""
    gpu = find_gpu(device_name)
    return None if gpu is None else gpu.teraflops * 1e12


def gpus_here() -> list[tuple[str, float]]:
    """Return name and memory (GiB) of each of this machine's GPUs by nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        lines = [line.rpartition(", ") for line in done.stdout.splitlines()]
        return [(name, float(mebibytes) / 2**10) for name, _, mebibytes in lines]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def gpu_here() -> tuple[str, float] | None:
    """Return name and memory (GiB) of this machine's first GPU by nvidia-smi; None without one."""
    return next(iter(gpus_here()), None)
