"""Memory of one rank at its fullest, and of the machine that it is on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from sft.config import SFTConfig
from sft.configs.checkpoint import STATE_BYTES
from sft.configs.compute import Attention, Precision
from sft.configs.deepspeed import BUCKET, LIVE_PARAMETERS, Offload
from sft.estimate.activations import (
    Kernels,
    head_kept,
    head_moment,
    layer_kept,
    layer_moment,
    slopes_in_bf16,
)
from sft.estimate.held import Amount, Held, Widths, held
from sft.estimate.workload import Workload

GPU_PROCESS = 1.5 * 2**30
"""Of a GPU, beside tensors: CUDA's context, its libraries, and NCCL's channels."""
CPU_PROCESS = 0.55 * 2**30
"""Of a CPU rank, beside tensors: Python with torch, DeepSpeed and transformers."""
HOST_PROCESS = 4 * 2**30
"""Of a GPU rank in host memory, beside what is offloaded: libraries, CUDA, a file of weights."""
GPU_FRAGMENTS = 0.05
"""Share of a GPU's tensors that the allocator cannot use, with expandable segments."""
CPU_FRAGMENTS = 0.05
"""Likewise of CPU ranks, where glibc keeps blocks of up to 32 MB that are freed."""
ALL_REDUCE = 5 * 10**8
"""Elements that DeepSpeed sends at a time where no stage of ZeRO divides them."""


AVX_512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankMemory:
    """Bytes of one rank. Its fullest moment is in a pass or in the update."""

    held: Held
    activations: float
    head: float
    """Output head and loss, or the backward pass of one layer: they do not meet."""
    buffers: float
    """Of DeepSpeed, while gradients are reduced and parameters gathered."""
    update: float
    """Of DeepSpeed, while the optimizer works."""
    copy: Amount
    """From which a checkpoint is written while training goes on, in host memory if it has room."""
    fragments: float
    """What the allocator cannot use."""
    process: float
    """What is no tensor."""

    def tensors(self) -> float:
        """Most bytes of tensors on the device: on a GPU, torch.cuda.max_memory_allocated."""
        return self.held.device() + max(self.activations + self.head + self.buffers, self.update)

    def device(self) -> float:
        """Most bytes of the device."""
        return self.tensors() + self.copy.device + self.fragments + self.process


def rank_memory(config: SFTConfig, work: Workload, *, gpu: bool) -> RankMemory:
    """The memory of one rank."""
    shape, kernels = config.model.shape, kernels_of(config, gpu=gpu)
    tokens = work.pass_tokens
    copy = STATE_BYTES[config.precision] * shape.num_parameters() / config.cluster.world_size()
    layers = shape.num_hidden_layers * layer_kept(shape, config.activation_checkpointing, kernels)
    layer = layer_moment(shape, config.activation_checkpointing, kernels) * tokens
    parts = RankMemory(
        held=held(config),
        activations=layers * tokens,
        head=head_kept(shape, tokens, kernels) + max(head_moment(shape, tokens, kernels), layer),
        buffers=_buffers(config, gpu=gpu),
        update=_update(config),
        copy=Amount(host=copy) if gpu else Amount(device=copy),
        fragments=0.0,
        process=GPU_PROCESS if gpu else CPU_PROCESS,
    )
    if gpu:
        return dataclasses.replace(parts, fragments=GPU_FRAGMENTS * parts.tensors())
    # Measured beside live tensors: as much again as a chunk's slopes, 0.15 GiB with 67 M of them.
    scratch = slopes_in_bf16(shape, tokens, kernels)
    return dataclasses.replace(parts, fragments=CPU_FRAGMENTS * parts.tensors() + scratch)


def kernels_of(config: SFTConfig, *, gpu: bool) -> Kernels:
    """How activations lie in memory: FlashAttention is taken for granted on a GPU, in bf16."""
    bf16 = config.precision is not Precision.fp32
    flash = gpu and bf16 and config.attention is not Attention.sdpa
    widened = bf16 and not gpu and not _cpu_multiplies_bf16()
    return Kernels(Widths.of(config).weight, flash, widened)


def _cpu_multiplies_bf16() -> bool:
    """Return True if torch has fast bf16 products for this CPU (see `sft.model.cpu_bf16`)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2]
    except OSError:
        return False
    return set(flags.partition("\n")[0].split()) >= AVX_512


def _buffers(config: SFTConfig, *, gpu: bool) -> float:
    zero, shape, width = config.deepspeed, config.model.shape, Widths.of(config)
    parameters = shape.num_parameters()
    # What the CPU never writes to takes no memory.
    bucket = width.weight * (BUCKET if gpu else min(BUCKET, parameters))
    ranks = config.cluster.world_size()
    offloaded = zero.offload_optimizer is not Offload.none
    mixed = width.summed != width.weight
    if zero.stage == 0 or (zero.stage == 1 and mixed and not offloaded):
        return 0.0
    if zero.stage == 3:
        gathered = min(parameters, max(LIVE_PARAMETERS, shape.embedding()))
        return 2 * bucket + width.weight * gathered
    largest = width.weight * shape.embedding() if offloaded else 0
    # This rank's part of the sum, a second time, while the last pass is reduced.
    own = width.summed * parameters / ranks if zero.stage == 1 and mixed else 0
    # One is filled while the other is sent, from a copy.
    return (2 if config.compile else 3) * bucket + largest + own


def _update(config: SFTConfig) -> float:
    zero, width = config.deepspeed, Widths.of(config)
    parameters = config.model.shape.num_parameters()
    share = parameters / config.cluster.world_size()
    offloaded = zero.offload_optimizer is not Offload.none
    if zero.stage == 0:
        # Gradients in fp32 for the update, or as they are sent.
        return width.weight * min(parameters, ALL_REDUCE) if width.weight == 4 else 4 * parameters
    if offloaded:
        return 0.0
    if zero.stage == 3:
        return width.kept * min(share, LIVE_PARAMETERS)
    if width.summed != width.weight:
        return width.weight * parameters if zero.stage == 1 else 0.0
    return width.kept * share


def host_bytes(config: SFTConfig, *, gpu: bool) -> float:
    """Bytes of host memory of one machine, with what is offloaded to it."""
    each = held(config).host() + _swapped(config) + (HOST_PROCESS if gpu else 0.0)
    return config.cluster.ranks_per_node * each


def _swapped(config: SFTConfig) -> float:
    """Buffers of one rank for what is on its way from and to a disk."""
    if config.deepspeed.offload_optimizer is not Offload.nvme:
        return 0.0
    share = config.model.shape.num_parameters() / config.cluster.world_size()
    return 4 * Widths.of(config).kept * min(share, LIVE_PARAMETERS)
