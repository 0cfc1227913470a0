"""The DeepSpeed engine: its config as a pure function of typed fields, and its start."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any

import deepspeed
import torch

from pacos.distributed import World
from sft.config import Precision, SFTConfig
from sft.ops import load_op
from sft.schedule import build_optimizer

COLLECTIVE_TIMEOUT = datetime.timedelta(minutes=30)
"""DeepSpeed 0.19 lowered its default to 10 minutes; loading 70B can take longer."""


def start_ranks(world: World) -> torch.device:
    """Join the process group that the launcher prepared; returns this rank's device."""
    on_gpu = deepspeed.accelerator.get_accelerator().device_name() == "cuda"
    device = torch.device("cuda", world.local_rank) if on_gpu else torch.device("cpu")
    backend = "nccl" if on_gpu else "gloo"
    load_op("ShareMemCommBuilder")
    with contextlib.redirect_stdout(None):  # each rank would print that it has found the op
        deepspeed.init_distributed(
            dist_backend=backend,
            auto_mpi_discovery=False,
            timeout=COLLECTIVE_TIMEOUT,
            verbose=False,
        )
    return device


def deepspeed_config(config: SFTConfig, accumulation: int) -> dict[str, Any]:
    """DeepSpeed's config. Values whose defaults moved between releases are all given.

    Args:
        config: the typed config.
        accumulation: forward passes of one rank in a step.
    """
    zero: dict[str, Any] = {
        "stage": config.deepspeed.stage,
        "contiguous_gradients": True,
        "overlap_comm": False,
    }
    if config.deepspeed.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if config.deepspeed.offload_parameters:
        zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": config.optimizer.max_grad_norm,
        "bf16": {"enabled": config.precision is Precision.bf16},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "wall_clock_breakdown": False,
        "steps_per_print": 2**31,
    }


def build_engine(model: Any, config: SFTConfig, accumulation: int) -> Any:
    """Hand the model and its optimizer to DeepSpeed."""
    optimizer = build_optimizer(model.named_parameters(), config.optimizer)
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        config=deepspeed_config(config, accumulation),
        dist_init_required=False,
    )
    return engine


def backward(engine: Any, nll: torch.Tensor, step_tokens: int, world: World) -> None:
    """Add the gradient of Σ NLL / tokens of the global step.

    DeepSpeed averages over ranks, so the local share is scaled by their number; the division by
    accumulation steps is turned off because `step_tokens` already counts all of them.
    """
    engine.backward(nll / step_tokens * world.loss_scale, scale_wrt_gas=False)
