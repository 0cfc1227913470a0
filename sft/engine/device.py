"""The choice of device, made before DeepSpeed is imported."""

from __future__ import annotations

import os

from pacos.configs.cluster import ClusterConfig, Device
from pacos.errors import UserError


def choose_device(cluster: ClusterConfig) -> str:
    """Return `cuda` or `cpu`, and set DeepSpeed's accelerator to match.

    DeepSpeed picks its accelerator when it is imported, so this must be called before.

    Raises:
        UserError: CUDA is asked for and torch sees no GPU.
    """
    import torch

    if cluster.device is Device.cuda and not torch.cuda.is_available():
        raise UserError(
            "cluster.device = cuda: torch sees no GPU here; "
            "use cluster.device=cpu, or install a CUDA build with make setup TORCH_INDEX=…"
        )
    if cluster.device is Device.cpu or not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
        return "cpu"
    return "cuda"
