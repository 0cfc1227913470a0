"""Where a rank's random number generators stand: torch's own, of the host and of the device.

Nothing else is drawn from a generator's state: orders and samples are derived from the seed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from deepspeed.accelerator import get_accelerator
from safetensors import safe_open

from sft.checkpoints.shards import RANDOM

HOST, DEVICE = f"{RANDOM}/host/0", f"{RANDOM}/device/0"
"""Names in the rank's file."""


def capture() -> dict[str, torch.Tensor]:
    """[bytes] of each generator, by name."""
    return {HOST: torch.get_rng_state(), DEVICE: get_accelerator().get_rng_state().cpu()}


def restore(shard: Path) -> None:
    """Set the generators as they were when the file was written."""
    with safe_open(shard, framework="pt") as file:
        torch.set_rng_state(file.get_tensor(HOST))
        get_accelerator().set_rng_state(file.get_tensor(DEVICE))
