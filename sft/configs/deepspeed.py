"""Config of the DeepSpeed engine: how memory and work are divided over ranks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pacos.configs.shared import ClusterConfig
from pacos.errors import Problem
from pacos.model.shape import LlamaShape

BUCKET = 10**8
"""Elements that are sent at a time, 200 MB in bf16: large enough for the network's full speed."""

LIVE_PARAMETERS = 10**9
"""Parameters that ZeRO-3 holds whole at a time, and updates at a time: 2 GB in bf16."""


class Offload(Enum):
    """Where states wait when they are not in use."""

    none = "none"
    cpu = "cpu"
    nvme = "nvme"


@dataclass(kw_only=True, slots=True)
class DeepSpeedConfig:
    """How parameters, gradients and optimizer states are divided over ranks."""

    stage: int = 2
    """ZeRO stage: 0 nothing, 1 optimizer states, 2 and gradients, 3 and parameters. Each holds less
    and sends more than the one before."""
    offload_optimizer: Offload = Offload.none
    """Where optimizer states are kept, and the update is computed: `none` the device, `cpu` host
    memory (12 bytes a parameter, divided over ranks), `nvme` a disk, ZeRO-3 only."""
    offload_parameters: Offload = Offload.none
    """Where parameters wait between uses, ZeRO-3 only: host memory or a disk."""
    nvme_path: str | None = None
    """Folder on a local disk of every node, for what is offloaded to `nvme`."""
    parameters_per_node: bool = False
    """ZeRO-3 over several nodes: keep a second copy of the parameters divided within each node, so
    that the backward pass gathers them over NVLink instead of the network (hpZ, arXiv 2306.10209).
    Costs 2 bytes a parameter of every node's memory."""
    sequence_ranks: int = 1
    """Ranks that share each row of tokens (Ulysses, arXiv 2309.14509): long rows fit, because each
    rank holds its part of the activations. Divides the number of heads."""

    def data_ranks(self, ranks: int) -> int:
        """How many packs are trained on at the same time."""
        return ranks // max(1, self.sequence_ranks)

    def problems(self, cluster: ClusterConfig, shape: LlamaShape) -> list[Problem]:
        if self.stage not in (0, 1, 2, 3):
            return [Problem("deepspeed.stage", self.stage, "no such stage", "choose 0 to 3")]
        return [*self._offload_problems(), *self._division_problems(cluster, shape)]

    def _offload_problems(self) -> list[Problem]:
        found = []
        optimizer, parameters = self.offload_optimizer, self.offload_parameters
        if optimizer is not Offload.none:
            needed = 3 if optimizer is Offload.nvme else 1
            if self.stage < needed:
                found.append(self._needs_stage("offload_optimizer", optimizer.name, needed))
        if parameters is not Offload.none and self.stage != 3:
            found.append(self._needs_stage("offload_parameters", parameters.name, 3))
        if Offload.nvme in (optimizer, parameters) and self.nvme_path is None:
            what = "something is offloaded to nvme"
            remedy = "name a folder on a local disk of every node"
            found.append(Problem("deepspeed.nvme_path", None, what, remedy))
        return found

    def _division_problems(self, cluster: ClusterConfig, shape: LlamaShape) -> list[Problem]:
        found = []
        if self.parameters_per_node and self.stage != 3:
            found.append(self._needs_stage("parameters_per_node", True, 3))
        elif self.parameters_per_node and (cluster.nodes < 2 or cluster.ranks_per_node < 2):
            what = f"has nothing to gain with {cluster.nodes} x {cluster.ranks_per_node} ranks"
            remedy = "turn it off; it is for several nodes of several GPUs"
            found.append(Problem("deepspeed.parameters_per_node", True, what, remedy))
        ranks, key = self.sequence_ranks, "deepspeed.sequence_ranks"
        if ranks < 1:
            found.append(Problem(key, ranks, "must be at least 1", "raise it"))
        elif cluster.world_size() % ranks:
            what = f"does not divide {cluster.world_size()} ranks"
            found.append(Problem(key, ranks, what, "choose a divisor"))
        elif shape.num_attention_heads % ranks or shape.num_key_value_heads % ranks:
            heads = f"{shape.num_attention_heads} query and {shape.num_key_value_heads} key heads"
            found.append(Problem(key, ranks, f"does not divide {heads}", "choose a divisor"))
        return found

    def _needs_stage(self, key: str, value: object, stage: int) -> Problem:
        remedy = f"set deepspeed.stage={stage}, or turn it off"
        return Problem(f"deepspeed.{key}", value, f"needs stage {stage}, not {self.stage}", remedy)
