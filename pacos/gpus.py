"""Peak speed of common GPUs: what model FLOPs utilisation is a share of. Free of torch."""

from __future__ import annotations

import re

PEAK_BF16_TFLOPS = {
    "GB200": 2500.0,
    "B200": 2250.0,
    "GH200": 989.4,
    "H200 NVL": 835.5,
    "H200": 989.4,
    "H100 NVL": 835.5,
    "H100 PCIe": 756.5,
    "H100": 989.4,
    "A100": 311.9,
    "A40": 149.7,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.05,
    "L40": 181.05,
    "L4": 121.0,
    "RTX 6000 Ada": 364.2,
    "RTX A6000": 154.8,
    "RTX 5090": 209.5,
    "RTX 4090": 165.2,
    "RTX 3090": 71.2,
    "MI300X": 1307.4,
    "MI250X": 383.0,
}
"""TFLOP/s of dense bf16 products with fp32 accumulation, from the vendors' data sheets (half of
their figure for sparse ones), by the words of the name that torch shows; longer names stand first.
"""


def peak_flops(device_name: str) -> float | None:
    """Peak FLOP/s of a device in dense bf16; None if it is unknown or only a slice of a GPU.

    Args:
        device_name: as `torch.cuda.get_device_name` gives it.
    """
    if re.search(r"\bMIG\b", device_name):
        return None
    for words, teraflops in PEAK_BF16_TFLOPS.items():
        if re.search(rf"\b{words}\b", device_name):
            return teraflops * 1e12
    return None
