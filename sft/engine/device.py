"""What the ranks compute on."""

from __future__ import annotations

import os

from pacos.configs.shared import ClusterConfig, Device
from pacos.errors import UserError


def choose_device(cluster: ClusterConfig) -> str:
    """`cuda` or `cpu`. DeepSpeed, which decides for itself at its import, is told.

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
