"""Common GPUs in numbers: speed, memory, and links among those of a machine. Free of torch."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU."""

    teraflops: float
    """TFLOP/s of dense bf16 products with fp32 accumulation, from the vendor's data sheet (half of
    its figure for sparse ones): what model FLOPs utilisation is a share of."""
    memory_gib: float
    """Memory in GiB as its driver tells it."""
    link: float
    """GB/s to the other GPUs of its machine, in one direction: NVLink, else PCIe."""


GPUS = {
    "GB200": Gpu(2500.0, 185.0, 900),
    "B200": Gpu(2250.0, 179.1, 900),
    "GH200": Gpu(989.4, 95.6, 450),
    "H200 NVL": Gpu(835.5, 140.4, 450),
    "H200": Gpu(989.4, 140.4, 450),
    "H100 NVL": Gpu(835.5, 93.6, 300),
    "H100 PCIe": Gpu(756.5, 79.6, 64),
    "H100": Gpu(989.4, 79.6, 450),
    "A100": Gpu(311.9, 80.0, 300),
    "A40": Gpu(149.7, 45.0, 32),
    "A10G": Gpu(70.0, 22.5, 32),
    "A10": Gpu(125.0, 22.5, 32),
    "L40S": Gpu(362.05, 45.0, 32),
    "L40": Gpu(181.05, 45.0, 32),
    "L4": Gpu(121.0, 22.5, 32),
    "RTX 6000 Ada": Gpu(364.2, 48.0, 32),
    "RTX A6000": Gpu(154.8, 48.0, 32),
    "RTX 5090": Gpu(209.5, 31.8, 64),
    "RTX 4090": Gpu(165.2, 24.0, 32),
    "RTX 3090": Gpu(71.2, 24.0, 32),
    "MI300X": Gpu(1307.4, 192.0, 448),
    "MI250X": Gpu(383.0, 64.0, 100),
}
"""By the words of the name that torch shows; longer names stand first. An A100 is that of 80 GB."""


def find_gpu(name: str) -> Gpu | None:
    """The kind of GPU that a name means; None if it is unknown or only a slice of a GPU.

    Args:
        name: as `torch.cuda.get_device_name` and nvidia-smi give it, or a key of `GPUS`.
    """
    if re.search(r"\bMIG\b", name):
        return None
    for words, gpu in GPUS.items():
        if re.search(rf"\b{words}\b", name, re.IGNORECASE):
            return gpu
    return None


def peak_flops(device_name: str) -> float | None:
    """Peak FLOP/s of a device in dense bf16; None where `find_gpu` knows none."""
    gpu = find_gpu(device_name)
    return None if gpu is None else gpu.teraflops * 1e12


def gpu_here() -> tuple[str, float] | None:
    """Name and GiB of this machine's first GPU, as nvidia-smi shows them; None without one."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        name, _, mebibytes = done.stdout.splitlines()[0].rpartition(", ")
        return name, float(mebibytes) / 2**10
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None
