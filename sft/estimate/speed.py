"""The time of a step: compute, network and optimizer update, by a model simple enough to check.

Compute is FLOPs divided by a published share of the GPU's peak. Network is the bytes that DeepSpeed
sends divided by the bandwidth of the slowest link. The fast end of the range hides all of the
network behind compute, the slow end none of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pacos.gpus import Gpu
from sft.config import SFTConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.deepspeed import Offload
from sft.estimate.model_states import ElementSizes
from sft.estimate.workload import Workload

HOPPER_EFFICIENCY = (0.36, 0.52)
"""Share of the peak that GPUs of 400 TFLOP/s and more reach, recomputed FLOPs included: 7B to 8B on
8 H100, from FSDP2 with torch.compile (torchtitan, December 2024: 39 % of model FLOPs with selective
checkpointing, 33 % without compiling) to MosaicML's LLM-Foundry (46 % without checkpointing; 54 %
when the FLOPs that full checkpointing recomputes count). Megatron reaches more, 56 to 60 %. Nobody
publishes it for DeepSpeed."""
AMPERE_EFFICIENCY = (0.45, 0.62)
"""The same for slower GPUs: 7B on A100, LLM-Foundry 64 %, fms-fsdp 57 %."""
HOPPER_TERAFLOPS = 400
"""Peak TFLOP/s from which HOPPER_EFFICIENCY applies: faster GPUs reach a smaller share of it."""

RECOMPUTE_FACTOR = {
    ActivationCheckpointing.none: 1.0,
    ActivationCheckpointing.selective: 1.06,
    ActivationCheckpointing.full: 4 / 3,
}
"""Compute relative to no checkpointing. `selective` recomputes all but matrix products; `full`
recomputes the forward pass, a third of a forward-backward."""

LINK_EFFICIENCY = 0.75
"""Share of a link's bandwidth that collectives of this size reach."""
PCIE = 25e9
"""Bytes per second between a GPU and host memory, each way (PCIe 4.0 x16)."""
HOST = 150e9
"""Bytes per second that a node's cores read and write in an optimizer update."""
NVME = 5e9
"""Bytes per second from and to a node's local disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Seconds of one step, by what they are spent on."""

    compute: tuple[float, float]
    """Seconds at the high and at the low end of what GPUs reach."""
    network: float
    """Seconds that the collectives take alone."""
    update: float
    """Seconds of an offloaded update and its transfers; 0 on the GPU, where it is negligible."""

    def seconds(self) -> tuple[float, float]:
        """Return the whole step's seconds with the network hidden, and not hidden."""
        fast, slow = self.compute
        return max(fast, self.network) + self.update, slow + self.network + self.update

    def typical(self) -> float:
        """Return the mean of the fast and the slow end."""
        return sum(self.seconds()) / 2

    def bottleneck(self) -> str:
        """Return the largest part: compute, network or update."""
        parts = {"compute": self.compute[0], "network": self.network, "update": self.update}
        return max(parts, key=lambda name: parts[name])


def step_time(config: SFTConfig, work: Workload, gpu: Gpu) -> StepTime:
    """Estimate the time of a config's step on GPUs of one kind."""
    ranks = config.cluster.world_size()
    recompute = RECOMPUTE_FACTOR[config.activation_checkpointing]
    low, high = HOPPER_EFFICIENCY if gpu.teraflops >= HOPPER_TERAFLOPS else AMPERE_EFFICIENCY
    ideal = work.step_flops * recompute / (ranks * gpu.teraflops * 1e12)
    return StepTime(
        compute=(ideal / high, ideal / low),
        network=_network(config, work, gpu),
        update=_offloaded_update(config, work),
    )


def _network(config: SFTConfig, work: Workload, gpu: Gpu) -> float:
    """Return the seconds that a rank's collectives take in a step."""
    cluster, zero = config.cluster, config.deepspeed
    ranks = cluster.world_size()
    if ranks == 1:
        return 0.0
    weights = ElementSizes.of(config).weight * config.model.shape.num_parameters()
    inside = gpu.link * 1e9 * LINK_EFFICIENCY
    # gbps is the sum over a node's adapters, and a ring crosses each node boundary once, so the
    # ranks of a node share it as one link.
    between = (
        min(inside, cluster.network_gbps / 8 * 1e9 * LINK_EFFICIENCY)
        if cluster.nodes > 1
        else inside
    )
    all_gather = weights * (ranks - 1) / ranks
    if zero.stage == 3:
        # Each pass gathers parameters for forward and for backward, and reduces gradients. hpZ
        # gathers those for backward within the node.
        for_backward = all_gather / (inside if zero.parameters_per_node else between)
        return work.passes * (2 * all_gather / between + for_backward)
    # DeepSpeed 0.19.8 all-reduces gradients in every stage: twice the bytes of a reduce-scatter.
    all_reduce = 2 * all_gather / between
    if zero.stage == 2:
        # Stage 2 keeps no unreduced gradients, so that every pass reduces its own.
        return work.passes * all_reduce + all_gather / between
    return all_reduce + (all_gather / between if zero.stage == 1 else 0.0)


def _offloaded_update(config: SFTConfig, work: Workload) -> float:
    """Return the seconds of an offloaded update and of all transfers between device and host."""
    zero, cluster = config.deepspeed, config.cluster
    parameters = config.model.shape.num_parameters()
    # Each rank has its own PCIe link; cores and disk are shared by the ranks of a node.
    per_rank, per_node = parameters / cluster.world_size(), parameters / cluster.nodes
    size, kept, seconds = ElementSizes.of(config), len(config.optimizer.STATES), 0.0
    if zero.offload_optimizer is not Offload.none:
        # Stage 3 accumulates on the host: every pass but the first also reads the sum back.
        trips = 2 * work.passes - 1 if zero.stage == 3 else 1
        moved = (trips * size.gradient_sum + size.weight) * per_rank / PCIE
        # In fp32 it reads weight, gradient and states, and writes all but the gradient back.
        seconds += moved + 4 * (3 + 2 * kept) * per_node / HOST
    if zero.offload_optimizer is Offload.nvme:
        # Weight, gradient and states, read and written.
        seconds += 2 * (2 + kept) * size.optimizer * per_node / NVME
    if zero.offload_parameters is not Offload.none:
        # Parameters come to the device for forward and again for backward.
        seconds += work.passes * 2 * size.weight * per_rank / PCIE
    if zero.offload_parameters is Offload.nvme:
        seconds += work.passes * 2 * size.weight * per_node / NVME
    return seconds
