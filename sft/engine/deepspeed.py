"""The DeepSpeed engine: its config as a pure function of typed fields, and its start."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any

import deepspeed
import torch

from pacos.distributed import World
from pacos.division import ceil_div
from pacos.errors import UserError
from pacos.model.protocols import CausalLM
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import BUCKET, LIVE_PARAMETERS, DeepSpeedConfig, Offload
from sft.engine.ops import load_op
from sft.engine.optimizer import build_optimizer
from sft.engine.private_state import complete_plain_optimizer, use_fp64_norm
from sft.engine.protocol import Engine

COLLECTIVE_TIMEOUT = datetime.timedelta(minutes=30)
"""Longest wait in a collective. DeepSpeed 0.19 lowered its default to 10 minutes, and loading a 70B
model can take longer."""

NEVER = 2**31
"""A step number that no run reaches."""


def start_ranks(world: World) -> torch.device:
    """Join the process group that the launcher prepared, and return this rank's device."""
    on_gpu = deepspeed.accelerator.get_accelerator().device_name() == "cuda"
    device = torch.device("cuda", world.local_rank) if on_gpu else torch.device("cpu")
    backend = "nccl" if on_gpu else "gloo"
    # DeepSpeed would load it in all ranks at once, without the lock of `load_op`.
    load_op("ShareMemCommBuilder")
    with contextlib.redirect_stdout(None):  # each rank would print that it found the op
        deepspeed.init_distributed(
            dist_backend=backend,
            auto_mpi_discovery=False,
            timeout=COLLECTIVE_TIMEOUT,
            verbose=False,
        )
    if on_gpu:
        # Objects are gathered through the current device, which would be GPU 0 on every rank.
        torch.cuda.set_device(device)
    return device


def load_offload_op(zero: DeepSpeedConfig) -> None:
    """Load the op with which DeepSpeed reads and writes disks, if anything is offloaded to one.

    Raises:
        UserError: it cannot be compiled here.
    """
    to_disk = Offload.nvme in (zero.offload_optimizer, zero.offload_parameters)
    if to_disk and not load_op("AsyncIOBuilder"):
        raise UserError(
            f"deepspeed.nvme_path = {zero.nvme_path}: DeepSpeed's disk op cannot be compiled here; "
            "install g++ and the headers of libaio (libaio-dev or libaio-devel), or offload to cpu"
        )


def deepspeed_config(config: SFTConfig, accumulation: int) -> dict[str, Any]:
    """Return DeepSpeed's config. Values whose defaults moved between releases are all explicit.

    Args:
        config: the typed config.
        accumulation: passes of one rank in a step.
    """
    bf16, states = config.precision is not Precision.fp32, config.precision is Precision.bf16_states
    # Passes are summed in fp32: in bf16, with 8 bits of mantissa, the eighth pass is rounded to a
    # 32nd of its size. ZeRO-0 has no such sum, and bf16 states are for those who cannot hold it.
    sum_in_bf16 = states or (bf16 and config.deepspeed.stage == 0)
    return {
        # A pass is one flat row, however many documents it has.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulation,
        # torch's own optimizer, where DeepSpeed does not wrap it, clips by itself.
        "gradient_clipping": 0.0 if _is_plain(config) else config.optimizer.max_grad_norm,
        "bf16": {
            "enabled": bf16,
            # A single infinite gradient would stay in Adam's moments forever (DeepSpeed #8035).
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
        settings |= {
            # Norms stay whole on every rank: gathering them costs more than holding them.
            "stage3_param_persistence_threshold": 10 * width,
            "stage3_prefetch_bucket_size": BUCKET,
            "stage3_max_live_parameters": LIVE_PARAMETERS,
            "stage3_max_reuse_distance": LIVE_PARAMETERS,
            "sub_group_size": LIVE_PARAMETERS,
            # The export gathers tensors one by one instead.
            "stage3_gather_16bit_weights_on_model_save": False,
            "zero_hpz_partition_size": (
                config.cluster.ranks_per_node if zero.parameters_per_node else 1
            ),
        }
    if zero.offload_optimizer is not Offload.none:
        # In flight at a time, of a sub-group: weights, gradients and the optimizer's states.
        buffers = 2 + len(config.optimizer.STATES)
        settings["offload_optimizer"] = _offload(zero, zero.offload_optimizer, buffer_count=buffers)
    if zero.offload_parameters is not Offload.none:
        largest = config.model.shape.vocab_size * width
        settings["offload_param"] = _offload(
            zero,
            zero.offload_parameters,
            buffer_count=5,
            # A rank's share of the largest matrix must fit into one buffer.
            buffer_size=max(BUCKET, ceil_div(largest, config.cluster.world_size())),
            max_in_cpu=LIVE_PARAMETERS,
        )
    return settings


def _offload(zero: DeepSpeedConfig, to: Offload, **nvme_buffers: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"device": to.value, "pin_memory": True}
    if to is Offload.nvme:
        settings |= {"nvme_path": zero.nvme_path, **nvme_buffers}
    return settings


def build_engine(model: CausalLM, config: SFTConfig, accumulation: int) -> Engine:
    """Hand the model and its optimizer to DeepSpeed; every rank calls it.

    Args:
        model: a model of `sft.model.build.build_model`.
        config: the typed config.
        accumulation: passes of one rank in a step.

    Raises:
        UserError: the installed DeepSpeed lacks something that pacos uses.
    """
    optimizer = build_optimizer(model.named_parameters(), config.optimizer)
    if _is_plain(config):
        complete_plain_optimizer(optimizer, config.optimizer.max_grad_norm)
    engine: Engine
    with contextlib.redirect_stdout(None):  # ZeRO-1 in bf16 prints its memory, line after line
        engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            config=deepspeed_config(config, accumulation),
            dist_init_required=False,
        )
    use_fp64_norm(engine)
    return engine


def _is_plain(config: SFTConfig) -> bool:
    """Return True if DeepSpeed calls torch's optimizer itself instead of wrapping it."""
    return config.deepspeed.stage == 0 and config.precision is Precision.fp32


def backward(engine: Engine, nll: torch.Tensor, step_tokens: int, world: World) -> None:
    """Add the gradient of Σ NLL / supervised tokens of the global step.

    DeepSpeed averages gradients over ranks, so the local share is multiplied by their number. Its
    division by accumulation steps is off, because `step_tokens` already counts all passes. Ranks
    that share rows count like any others: each adds the gradient of its own part of the sum.
    """
    engine.backward(nll / step_tokens * world.loss_scale, scale_wrt_gas=False)
