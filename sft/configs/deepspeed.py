"""Config of the DeepSpeed engine: the division of memory and work over ranks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pacos.configs.cluster import ClusterConfig
from pacos.errors import Problem
from pacos.model.shape import ModelShape

BUCKET = 10**8
"""Elements sent per collective, 200 MB in bf16: large enough for the network's full speed."""

LIVE_PARAMETERS = 10**9
"""Parameters that ZeRO-3 keeps gathered at a time, and updates at a time: 2 GB in bf16."""


class Offload(Enum):
    """The place of states that the device does not hold."""

    none = "none"
    cpu = "cpu"
    nvme = "nvme"


@dataclass(kw_only=True, slots=True)
class DeepSpeedConfig:
    """The division of parameters, gradients and optimizer states over ranks."""

    stage: int = 2
    """ZeRO stage: 0 divides nothing, 1 the optimizer states, 2 also gradients, 3 also parameters.
    Each needs less memory and more communication than the one before."""
    offload_optimizer: Offload = Offload.none
    """Place of the optimizer states and of the update: `none` the device; `cpu` host memory, 12
    bytes per parameter divided over ranks; `nvme` a disk, ZeRO-3 only. Saves device memory and
    slows every step down."""
    offload_parameters: Offload = Offload.none
    """Place of the parameters between uses, ZeRO-3 only: `cpu` host memory or `nvme` a disk. Every
    pass then reads all weights over PCIe twice."""
    nvme_path: str | None = None
    """Folder on a local disk of every node for what is offloaded to `nvme`."""
    parameters_per_node: bool = False
    """ZeRO-3 on several nodes: keep a second copy of the parameters divided within each node, so
    that the backward pass gathers them over NVLink and not over the network (hpZ, arXiv
    2306.10209). Costs 2 bytes per parameter of every node's GPU memory."""
    sequence_ranks: int = 1
    """Ranks that share each pack (Ulysses, arXiv 2309.14509). Each holds its part of the
    activations, so longer rows fit. Must divide the number of ranks and of heads."""

    def data_ranks(self, ranks: int) -> int:
        """Return the number of packs trained on at the same time, given all ranks."""
        return ranks // max(1, self.sequence_ranks)

    def problems(self, cluster: ClusterConfig, shape: ModelShape) -> list[Problem]:
        if self.stage not in (0, 1, 2, 3):
            return [Problem("deepspeed.stage", self.stage, "no such stage", "choose 0 to 3")]
        return [*self._offload_problems(), *self._division_problems(cluster, shape)]

    def _offload_problems(self) -> list[Problem]:
        problems = []
        optimizer, parameters = self.offload_optimizer, self.offload_parameters
        if optimizer is not Offload.none:
            needed = 3 if optimizer is Offload.nvme else 1
            if self.stage < needed:
                problems.append(self._needs_stage("offload_optimizer", optimizer.name, needed))
        if parameters is not Offload.none and self.stage != 3:
            problems.append(self._needs_stage("offload_parameters", parameters.name, 3))
        if Offload.nvme in (optimizer, parameters) and self.nvme_path is None:
            fault = "states are offloaded to nvme"
            remedy = "name a folder on a local disk of every node"
            problems.append(Problem("deepspeed.nvme_path", None, fault, remedy))
        return problems

    def _division_problems(self, cluster: ClusterConfig, shape: ModelShape) -> list[Problem]:
        problems = []
        if self.parameters_per_node and self.stage != 3:
            problems.append(self._needs_stage("parameters_per_node", True, 3))
        elif self.parameters_per_node and (cluster.nodes < 2 or cluster.ranks_per_node < 2):
            fault = f"has no effect with {cluster.nodes} x {cluster.ranks_per_node} ranks"
            remedy = "turn it off; it is for several nodes of several GPUs"
            problems.append(Problem("deepspeed.parameters_per_node", True, fault, remedy))
        ranks, key = self.sequence_ranks, "deepspeed.sequence_ranks"
        if ranks < 1:
            problems.append(Problem(key, ranks, "must be at least 1", "raise it"))
        elif cluster.world_size() % ranks:
            fault = f"does not divide {cluster.world_size()} ranks"
            problems.append(Problem(key, ranks, fault, "choose a divisor"))
        elif shape.num_attention_heads % ranks or shape.num_key_value_heads % ranks:
            heads = f"{shape.num_attention_heads} query and {shape.num_key_value_heads} key heads"
            problems.append(Problem(key, ranks, f"does not divide {heads}", "choose a divisor"))
        return problems

    def _needs_stage(self, key: str, value: object, stage: int) -> Problem:
        remedy = f"set deepspeed.stage={stage}, or turn it off"
        return Problem(f"deepspeed.{key}", value, f"needs stage {stage}, not {self.stage}", remedy)
