"""How long a step takes: compute, network and update, by a model simple enough to be checked.

Compute is FLOPs over a share of the GPU's peak that others have published; network is the bytes
that DeepSpeed sends over the bandwidth of the slowest link. The fast end hides all of the network
behind compute, the slow end none.
"""

from __future__ import annotations

from dataclasses import dataclass

from pacos.gpus import Gpu
from sft.config import SFTConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.deepspeed import Offload
from sft.estimate.held import Widths
from sft.estimate.workload import Workload

HOPPER = (0.36, 0.52)
"""Share of the peak that GPUs of 400 TFLOP/s and more reach, counting what is computed twice: 7B to
8B on 8 H100, from FSDP2 with torch.compile (torchtitan, December 2024: 39 % of model FLOPs with
selective checkpointing, 33 % without compiling) to MosaicML's LLM-Foundry (46 % without
checkpointing; 54 % with what full checkpointing computes again). Megatron reaches more, 56 to 60 %.
Nobody publishes it for DeepSpeed."""
AMPERE = (0.45, 0.62)
"""Likewise of slower ones: 7B on A100, LLM-Foundry 64 %, fms-fsdp 57 %."""
HOPPER_TERAFLOPS = 400

TWICE = {
    ActivationCheckpointing.none: 1.0,
    ActivationCheckpointing.selective: 1.06,
    ActivationCheckpointing.full: 4 / 3,
}
"""Compute by what is computed a second time: nothing, all but matrix products, all of the forward
pass."""

WIRE = 0.75
"""Share of a link's bandwidth that collectives of this size reach."""
PCIE = 25e9
"""Bytes a second between a GPU and host memory, in each direction (PCIe 4.0 x16)."""
HOST = 150e9
"""Bytes a second that a machine's cores read and write in an update of AdamW."""
UPDATE_BYTES = 28
"""Read and written in fp32 for each parameter of it: weight, gradient, two moments; and back."""
NVME = 5e9
"""Bytes a second from and to a machine's local disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Seconds of a step."""

    compute: tuple[float, float]
    """At the high and at the low end of what GPUs reach."""
    network: float
    """If nothing else went on."""
    update: float
    """Of an optimizer that is offloaded, and of what goes to it and back; else 0."""

    def seconds(self) -> tuple[float, float]:
        """Of the whole step: the network hidden, and not hidden."""
        fast, slow = self.compute
        return max(fast, self.network) + self.update, slow + self.network + self.update

    def typical(self) -> float:
        """Between the two."""
        return sum(self.seconds()) / 2

    def bound(self) -> str:
        """What the step waits for most, in a word."""
        parts = {"compute": self.compute[0], "network": self.network, "update": self.update}
        return max(parts, key=lambda name: parts[name])


def step_time(config: SFTConfig, work: Workload, gpu: Gpu) -> StepTime:
    """Predict a step of a config on GPUs of one kind."""
    ranks = config.cluster.world_size()
    twice = TWICE[config.activation_checkpointing]
    reached = HOPPER if gpu.teraflops >= HOPPER_TERAFLOPS else AMPERE
    ideal = work.step_flops * twice / (ranks * gpu.teraflops * 1e12)
    return StepTime(
        compute=(ideal / reached[1], ideal / reached[0]),
        network=_network(config, work, gpu),
        update=_offloaded_update(config, work),
    )


def _network(config: SFTConfig, work: Workload, gpu: Gpu) -> float:
    """Seconds that a rank sends in a step."""
    cluster, zero = config.cluster, config.deepspeed
    ranks = cluster.world_size()
    if ranks == 1:
        return 0.0
    weights = Widths.of(config).weight * config.model.shape.num_parameters()
    inside = gpu.link * 1e9 * WIRE
    between = min(inside, cluster.network_gbps / 8 * 1e9 * WIRE) if cluster.nodes > 1 else inside
    all_gather = weights * (ranks - 1) / ranks
    if zero.stage == 3:
        # Parameters for the forward and for the backward pass, and gradients.
        second = all_gather / (inside if zero.parameters_per_node else between)
        return work.passes * (2 * all_gather / between + second)
    # DeepSpeed 0.19.8 reduces gradients to all ranks in every stage: twice the bytes of a scatter.
    all_reduce = 2 * all_gather / between
    if zero.stage == 2:
        return work.passes * all_reduce + all_gather / between
    return all_reduce + (all_gather / between if zero.stage == 1 else 0.0)


def _offloaded_update(config: SFTConfig, work: Workload) -> float:
    zero, cluster = config.deepspeed, config.cluster
    parameters = config.model.shape.num_parameters()
    share, of_node = parameters / cluster.world_size(), parameters / cluster.nodes
    width, seconds = Widths.of(config), 0.0
    if zero.offload_optimizer is not Offload.none:
        # Stage 3 sums there: what is there comes back in every pass but the first.
        trips = 2 * work.passes - 1 if zero.stage == 3 else 1
        moved = (trips * width.summed + width.weight) * share / PCIE
        seconds += moved + UPDATE_BYTES * of_node / HOST
    if zero.offload_optimizer is Offload.nvme:
        seconds += 2 * 4 * width.kept * of_node / NVME
    if zero.offload_parameters is not Offload.none:
        seconds += work.passes * 2 * width.weight * share / PCIE
    if zero.offload_parameters is Offload.nvme:
        seconds += work.passes * 2 * width.weight * of_node / NVME
    return seconds
