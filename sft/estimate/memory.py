"""The peak memory of one rank and of the node that it runs on.

tests/sft/estimate compares the sum with live tensors of DeepSpeed's engines, and with whole runs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from sft.config import SFTConfig
from sft.configs.checkpoint import state_bytes
from sft.configs.compute import Attention, Precision
from sft.configs.deepspeed import BUCKET, LIVE_PARAMETERS, Offload
from sft.estimate.activations import (
    Kernels,
    bf16_logits,
    head_saved,
    head_transient,
    layer_saved,
    layer_transient,
)
from sft.estimate.model_states import ElementSizes, Footprint, ModelStates, model_states
from sft.estimate.workload import Workload

GPU_PROCESS = 1.5 * 2**30
"""GPU memory outside torch's allocator: the CUDA context, its libraries and NCCL's channels."""
CPU_PROCESS = 0.55 * 2**30
"""Host memory of a CPU rank without tensors: Python with torch, DeepSpeed and transformers."""
HOST_PROCESS = 4 * 2**30
"""Host memory of a GPU rank without offloaded states: libraries, CUDA and a file of weights."""
GPU_FRAGMENTATION = 0.05
"""Share of a GPU's tensor memory lost by the allocator, with expandable segments."""
CPU_FRAGMENTATION = 0.05
"""Share of a CPU rank's tensor memory lost by glibc, which keeps freed blocks of up to 32 MB."""
ALL_REDUCE = 5 * 10**8
"""Elements per all-reduce at ZeRO stage 0: DeepSpeed's MEMORY_OPT_ALLREDUCE_SIZE."""

AVX_512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankMemory:
    """Bytes of one rank at its peak, which falls either in a pass or in the optimizer's update."""

    states: ModelStates
    activations: float
    """Saved for the backward pass by all layers."""
    head: float
    """Peak of the output head with its loss, or of one layer's backward pass: never both at
    once."""
    buffers: float
    """DeepSpeed's, while gradients are reduced and parameters gathered."""
    update: float
    """DeepSpeed's, during the optimizer's update."""
    snapshot: Footprint
    """The copy that a checkpoint is written from while training goes on, if host memory has
    room."""
    fragmentation: float
    """Lost by the allocator."""
    process: float
    """Outside tensors."""

    def tensor_bytes(self) -> float:
        """Return the peak bytes of device tensors: on a GPU, torch.cuda.max_memory_allocated."""
        in_pass = self.activations + self.head + self.buffers
        return self.states.device_bytes() + max(in_pass, self.update)

    def device_bytes(self) -> float:
        """Return the peak bytes of the device, everything included."""
        return self.tensor_bytes() + self.snapshot.device + self.fragmentation + self.process


def rank_memory(config: SFTConfig, work: Workload, *, gpu: bool) -> RankMemory:
    """Estimate the memory of one rank, on a GPU or on the CPU."""
    shape, kernels = config.model.shape, kernels_of(config, gpu=gpu)
    tokens, checkpointing = work.pass_tokens, config.activation_checkpointing
    saved = state_bytes(config.precision, config.optimizer) * shape.num_parameters()
    snapshot = saved / config.cluster.world_size()
    layer = layer_transient(shape, checkpointing, kernels) * tokens
    memory = RankMemory(
        states=model_states(config),
        activations=shape.num_hidden_layers * layer_saved(shape, checkpointing, kernels) * tokens,
        # The head's saved gradients meet either peak: that of the loss, or that of the backward
        # pass of the layer after it.
        head=head_saved(shape, tokens, kernels)
        + max(head_transient(shape, tokens, kernels), layer),
        buffers=_buffers(config, gpu=gpu),
        update=_update(config),
        snapshot=Footprint(host=snapshot) if gpu else Footprint(device=snapshot),
        fragmentation=0.0,
        process=GPU_PROCESS if gpu else CPU_PROCESS,
    )
    if gpu:
        lost = GPU_FRAGMENTATION * memory.tensor_bytes()
    else:
        # Measured on top of live tensors: the size of a chunk's bf16 logits once more, 0.15 GiB
        # with 67 M logits.
        lost = CPU_FRAGMENTATION * memory.tensor_bytes() + bf16_logits(shape, tokens, kernels)
    return dataclasses.replace(memory, fragmentation=lost)


def kernels_of(config: SFTConfig, *, gpu: bool) -> Kernels:
    """Return the kernels of a config, assuming that FlashAttention is installed on GPU machines."""
    bf16 = config.precision is not Precision.fp32
    flash = gpu and bf16 and config.attention is not Attention.sdpa
    widened = bf16 and not gpu and not _cpu_multiplies_bf16()
    return Kernels(ElementSizes.of(config).weight, flash, widened)


def _cpu_multiplies_bf16() -> bool:
    """Return True if torch has fast bf16 products for this CPU (see `sft.model.cpu_bf16`)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2]
    except OSError:
        return False
    return set(flags.partition("\n")[0].split()) >= AVX_512


def _buffers(config: SFTConfig, *, gpu: bool) -> float:
    zero, shape, size = config.deepspeed, config.model.shape, ElementSizes.of(config)
    parameters = shape.num_parameters()
    # A bucket is allocated in full, but host memory that is never written to takes no page.
    bucket = size.weight * (BUCKET if gpu else min(BUCKET, parameters))
    ranks = config.cluster.world_size()
    offloaded = zero.offload_optimizer is not Offload.none
    mixed = size.gradient_sum != size.weight
    if zero.stage == 0 or (zero.stage == 1 and mixed and not offloaded):
        return 0.0
    if zero.stage == 3:
        # An embedding is gathered in one piece even if it exceeds the limit on live parameters.
        gathered = min(parameters, max(LIVE_PARAMETERS, shape.embedding()))
        return 2 * bucket + size.weight * gathered
    largest = size.weight * shape.embedding() if offloaded else 0
    # This rank's shard of the sum exists twice while the last pass is reduced.
    own_shard = size.gradient_sum * parameters / ranks if zero.stage == 1 and mixed else 0
    # One bucket fills while another is sent, from a copy. Compiled layers run without overlap_comm,
    # and so with one bucket less.
    return (2 if config.compile else 3) * bucket + largest + own_shard


def _update(config: SFTConfig) -> float:
    zero, size = config.deepspeed, ElementSizes.of(config)
    parameters = config.model.shape.num_parameters()
    shard = parameters / config.cluster.world_size()
    offloaded = zero.offload_optimizer is not Offload.none
    if zero.stage == 0:
        # bf16 gradients are copied to fp32 for the update; fp32 ones only need the bucket that is
        # sent.
        return size.weight * min(parameters, ALL_REDUCE) if size.weight == 4 else 4 * parameters
    if offloaded:
        return 0.0
    if zero.stage == 3:
        return size.optimizer * min(shard, LIVE_PARAMETERS)
    if size.gradient_sum != size.weight:
        return size.weight * parameters if zero.stage == 1 else 0.0
    return size.optimizer * shard


def node_host_bytes(config: SFTConfig, *, gpu: bool) -> float:
    """Return the bytes of host memory that one node needs, with the states offloaded to it."""
    states = model_states(config).host_bytes() + _swap_buffers(config)
    return config.cluster.ranks_per_node * (states + (HOST_PROCESS if gpu else 0.0))


def _swap_buffers(config: SFTConfig) -> float:
    """Return one rank's bytes of buffers between host memory and a disk.

    Weights, gradients and the optimizer's states of a group are in flight at a time.
    """
    if config.deepspeed.offload_optimizer is not Offload.nvme:
        return 0.0
    shard = config.model.shape.num_parameters() / config.cluster.world_size()
    in_flight = 2 + len(config.optimizer.STATES)
    return in_flight * ElementSizes.of(config).optimizer * min(shard, LIVE_PARAMETERS)
