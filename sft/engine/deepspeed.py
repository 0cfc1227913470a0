"""The DeepSpeed engine: its config as a pure function of typed fields, and its start."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable
from functools import partial
from typing import Any

import deepspeed
import torch
from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
from torch import distributed as dist

from pacos.distributed import World
from pacos.division import ceil_div
from pacos.errors import UserError
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import BUCKET, LIVE_PARAMETERS, DeepSpeedConfig, Offload
from sft.engine.ops import load_op
from sft.engine.optimizer import build_optimizer

COLLECTIVE_TIMEOUT = datetime.timedelta(minutes=30)
"""DeepSpeed 0.19 lowered its default to 10 minutes; loading 70B can take longer."""

NEVER = 2**31


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
    if on_gpu:
        # Objects are gathered by way of the current device, which would be GPU 0 on every rank.
        torch.cuda.set_device(device)
    return device


def load_offload_op(zero: DeepSpeedConfig) -> None:
    """Make ready what DeepSpeed reads and writes disks with, if something is offloaded to one.

    Raises:
        UserError: it cannot be compiled here.
    """
    to_disk = Offload.nvme in (zero.offload_optimizer, zero.offload_parameters)
    if to_disk and not load_op("AsyncIOBuilder"):
        raise UserError(
            f"deepspeed.nvme_path = {zero.nvme_path}: what reads and writes it cannot be compiled "
            "here; install g++ and the headers of libaio (libaio-dev or libaio-devel), or offload "
            "to cpu"
        )


def deepspeed_config(config: SFTConfig, accumulation: int) -> dict[str, Any]:
    """DeepSpeed's config. Values whose defaults moved between releases are all given.

    Args:
        config: the typed config.
        accumulation: forward passes of one rank in a step.
    """
    bf16, states = config.precision is not Precision.fp32, config.precision is Precision.bf16_states
    # Micro-batches are summed in fp32: in bf16 the eighth is rounded to a 32nd of its size. Stage 0
    # has no such sum, and bf16 states are for those who cannot hold it.
    sum_in_bf16 = states or (bf16 and config.deepspeed.stage == 0)
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulation,
        # Where torch's own optimizer makes the step, `_complete` clips.
        "gradient_clipping": 0.0 if _is_plain(config) else config.optimizer.max_grad_norm,
        "bf16": {
            "enabled": bf16,
            # One infinite gradient would stay in Adam's moments for good (DeepSpeed #8035).
            "check_grad_overflow": True,
            "bf16_master_weights_and_grads": states,
            "bf16_optimizer_states": states,
        },
        "data_types": {"grad_accum_dtype": "bf16" if sum_in_bf16 else "fp32"},
        "communication_data_type": "bf16" if bf16 else "fp32",
        "zero_optimization": _zero(config),
        "zero_allow_untested_optimizer": True,
        # torch's fused AdamW runs on CPUs too, and needs no compiler on the machine.
        "zero_force_ds_cpu_optimizer": False,
        "wall_clock_breakdown": False,
        "steps_per_print": NEVER,
    }


def _zero(config: SFTConfig) -> dict[str, Any]:
    zero, width = config.deepspeed, config.model.shape.hidden_size
    settings: dict[str, Any] = {
        "stage": zero.stage,
        # Compiled layers raced with the reduction of their gradients (DeepSpeed #8061, #8080).
        "overlap_comm": not config.compile,
        "contiguous_gradients": True,
        "reduce_scatter": True,
        "reduce_bucket_size": BUCKET,
        "allgather_bucket_size": BUCKET,
    }
    if zero.stage == 3:
        nodes_share = zero.parameters_per_node
        settings |= {
            # Norms stay whole on every rank: gathering them costs more than they weigh.
            "stage3_param_persistence_threshold": 10 * width,
            "stage3_prefetch_bucket_size": BUCKET,
            "stage3_max_live_parameters": LIVE_PARAMETERS,
            "stage3_max_reuse_distance": LIVE_PARAMETERS,
            "sub_group_size": LIVE_PARAMETERS,
            "stage3_gather_16bit_weights_on_model_save": False,
            "zero_hpz_partition_size": config.cluster.ranks_per_node if nodes_share else 1,
        }
    if zero.offload_optimizer is not Offload.none:
        # Four tensors of a group are on their way at a time: weights, gradients, two moments.
        settings["offload_optimizer"] = _offload(zero, zero.offload_optimizer, buffer_count=4)
    if zero.offload_parameters is not Offload.none:
        largest = config.model.shape.vocab_size * width
        settings["offload_param"] = _offload(
            zero,
            zero.offload_parameters,
            buffer_count=5,
            # A rank's part of the largest matrix has to fit into one.
            buffer_size=max(BUCKET, ceil_div(largest, config.cluster.world_size())),
            max_in_cpu=LIVE_PARAMETERS,
        )
    return settings


def _offload(zero: DeepSpeedConfig, to: Offload, **nvme_buffers: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"device": to.value, "pin_memory": True}
    if to is Offload.nvme:
        settings |= {"nvme_path": zero.nvme_path, **nvme_buffers}
    return settings


def build_engine(model: Any, config: SFTConfig, accumulation: int) -> Any:
    """Hand the model and its optimizer to DeepSpeed.

    Args:
        model: of `sft.model.build.build_model`.
        config: the typed config.
        accumulation: forward passes of one rank in a step.
    """
    optimizer = build_optimizer(model.named_parameters(), config.optimizer)
    if _is_plain(config):
        _complete(optimizer, config.optimizer.max_grad_norm)
    with contextlib.redirect_stdout(None):  # ZeRO-1 in bf16 prints its memory, line after line
        engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            config=deepspeed_config(config, accumulation),
            dist_init_required=False,
        )
    if isinstance(engine.optimizer, DeepSpeedZeroOptimizer):
        engine.optimizer.get_grad_norm_direct = partial(_norm_in_fp64, engine.optimizer)
    return engine


def _norm_in_fp64(
    optimizer: DeepSpeedZeroOptimizer, gradients: Iterable[torch.Tensor], *_: object
) -> torch.Tensor:
    """Norm of all ranks' gradients, to more digits than the factor that they are clipped by has.

    ZeRO-3 has it so. Of ZeRO-2, and ZeRO-1 in fp32, DeepSpeed 0.19 sums squares in fp32: the last
    digit of the factor, and then losses in bf16, depend on the stage (by 4e-3 within 20 steps).
    With the optimizer offloaded DeepSpeed takes another way, which stays as it is.
    """
    squares = torch.zeros((), dtype=torch.float64, device=optimizer.device)
    for gradient in gradients:
        if not getattr(gradient, "_zero_padding", False):
            squares += torch.linalg.vector_norm(gradient, dtype=torch.float64).square()
    dist.all_reduce(squares, group=optimizer.dp_process_group)
    return squares.sqrt()


def _is_plain(config: SFTConfig) -> bool:
    """Whether DeepSpeed lets torch's optimizer make the step, instead of wrapping it."""
    return config.deepspeed.stage == 0 and config.precision is Precision.fp32


def _complete(optimizer: torch.optim.Optimizer, max_norm: float) -> None:
    """Give torch's optimizer what DeepSpeed's have: the norm, and no step that is not finite."""

    def before_step(optimizer: Any, *_: object) -> None:
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        norm = torch.nn.utils.get_total_norm([each.grad for each in parameters])
        if max_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
        optimizer._global_grad_norm = norm
        optimizer.found_inf = (~torch.isfinite(norm)).float()
        optimizer.overflow = bool(optimizer.found_inf)

    optimizer.register_step_pre_hook(before_step)


def backward(engine: Any, nll: torch.Tensor, step_tokens: int, world: World) -> None:
    """Add the gradient of Σ NLL / tokens of the global step.

    DeepSpeed averages over ranks, so the local share is scaled by their number; the division by
    accumulation steps is turned off because `step_tokens` already counts all of them. Ranks that
    share rows count as any others: each contributes the gradient of its own part of the sum.
    """
    engine.backward(nll / step_tokens * world.loss_scale, scale_wrt_gas=False)
