"""The model states that DeepSpeed keeps from step to step: weights, gradients, optimizer states.

The counts follow the tensors that DeepSpeed 0.19.8 allocates, which is more than the ZeRO paper
(arXiv 1910.02054) counts. tests/sft/estimate/test_model_states.py compares them with its engines.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import LIVE_PARAMETERS, Offload


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes of one rank, by where they lie."""

    device: float = 0.0
    """Bytes on the rank's GPU; for a CPU rank, bytes in host memory."""
    host: float = 0.0
    """Bytes in host memory, offloaded from the device."""
    disk: float = 0.0
    """Bytes on the node's local disk, offloaded from the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStates:
    """The states of one rank at the end of the last backward pass of a step."""

    parameters: Footprint
    """Working weights, and the copies of them that wait to be gathered."""
    gradients: Footprint
    master: Footprint = field(default_factory=Footprint)
    """The optimizer's own copy of the weights."""
    optimizer: Footprint = field(default_factory=Footprint)
    """The tensors that the optimizer keeps for each weight, such as Adam's two moments."""

    def device_bytes(self) -> float:
        """Return the bytes on the device."""
        return sum(part.device for part in self.parts())

    def host_bytes(self) -> float:
        """Return the bytes offloaded to host memory, without a CPU rank's own device memory."""
        return sum(part.host for part in self.parts())

    def disk_bytes(self) -> float:
        """Return the bytes offloaded to the node's local disk."""
        return sum(part.disk for part in self.parts())

    def parts(self) -> tuple[Footprint, ...]:
        return self.parameters, self.gradients, self.master, self.optimizer


@dataclass(frozen=True, slots=True)
class ElementSizes:
    """Bytes per number, as `sft.engine.deepspeed.deepspeed_config` sets the dtypes."""

    weight: int
    """Weights, activations, and gradients as they are computed and sent."""
    optimizer: int
    """The optimizer's copy of the weights, and each of its states."""
    gradient_sum: int
    """The gradient accumulated over the passes of a step."""

    @classmethod
    def of(cls, config: SFTConfig) -> ElementSizes:
        if config.precision is Precision.fp32:
            return cls(4, 4, 4)
        if config.precision is Precision.bf16_states:
            return cls(2, 2, 2)
        # Without ZeRO, DeepSpeed's bf16 optimizer adds gradients up in the weights' own dtype.
        return cls(2, 4, 2 if config.deepspeed.stage == 0 else 4)


def model_states(config: SFTConfig) -> ModelStates:
    """Return the states that one rank keeps; DeepSpeed's alignment padding is left out."""
    parameters = config.model.shape.num_parameters()
    shard = parameters / config.cluster.world_size()
    zero, size, kept = config.deepspeed, ElementSizes.of(config), len(config.optimizer.STATES)
    if zero.stage == 0:
        # fp32 weights are updated in place; bf16 weights get an fp32 master copy.
        master = 0 if config.precision is Precision.fp32 else 4
        return ModelStates(
            parameters=Footprint(device=size.weight * parameters),
            gradients=Footprint(device=size.gradient_sum * parameters),
            master=Footprint(device=master * parameters),
            optimizer=Footprint(device=4 * kept * parameters),
        )
    if zero.stage == 3:
        return _stage_3_states(config, parameters, shard, size)
    return _stage_1_and_2_states(config, parameters, shard, size)


def _stage_1_and_2_states(
    config: SFTConfig, parameters: float, shard: float, size: ElementSizes
) -> ModelStates:
    offloaded = config.deepspeed.offload_optimizer is not Offload.none
    kept = len(config.optimizer.STATES)
    mixed = size.gradient_sum != size.weight
    if config.deepspeed.stage == 1:
        # Stage 1 accumulates all gradients, not only its shard: in fp32 for bf16 weights. Without
        # offload DeepSpeed keeps the bf16 gradients beside that sum.
        bf16_copy = size.weight if mixed and not offloaded else 0
        gradients = (size.gradient_sum + bf16_copy) * parameters
    else:
        # An fp32 sum stays on the device even with offload; a sum in the weights' dtype does not.
        gradients = size.gradient_sum * shard if mixed or not offloaded else 0
    weights = size.weight * parameters
    if not offloaded:
        return ModelStates(
            parameters=Footprint(device=weights),
            gradients=Footprint(device=gradients),
            master=Footprint(device=size.optimizer * shard),
            optimizer=Footprint(device=kept * size.optimizer * shard),
        )
    return ModelStates(
        # The update on the host leaves through a buffer of this rank's weights.
        parameters=Footprint(device=weights, host=size.weight * shard),
        gradients=Footprint(device=gradients, host=(size.optimizer + (0 if mixed else 4)) * shard),
        master=Footprint(host=size.optimizer * shard),
        optimizer=Footprint(host=kept * size.optimizer * shard),
    )


def _stage_3_states(
    config: SFTConfig, parameters: float, shard: float, size: ElementSizes
) -> ModelStates:
    zero, nvme, kept = config.deepspeed, Offload.nvme, len(config.optimizer.STATES)
    weights = size.weight * shard
    # hpZ: a second copy of all weights, divided among the ranks of each node only.
    secondary = (
        size.weight * parameters / config.cluster.ranks_per_node if zero.parameters_per_node else 0
    )
    if zero.offload_parameters is nvme:
        # DeepSpeed's max_in_cpu: that many parameters stay in host memory all the same.
        cached = size.weight * min(shard, LIVE_PARAMETERS)
        working = Footprint(device=secondary, host=cached, disk=weights)
    elif zero.offload_parameters is Offload.cpu:
        working = Footprint(device=secondary, host=weights)
    else:
        working = Footprint(device=weights + secondary)
    gradient_sum, optimizer = size.gradient_sum * shard, size.optimizer * shard
    if zero.offload_optimizer is nvme:
        return ModelStates(
            parameters=working,
            gradients=Footprint(host=gradient_sum, disk=optimizer),
            master=Footprint(disk=optimizer),
            optimizer=Footprint(disk=kept * optimizer),
        )
    if zero.offload_optimizer is Offload.cpu:
        return ModelStates(
            parameters=working,
            # The sum over passes, and the gradient that the update reads, in the optimizer's dtype.
            gradients=Footprint(host=gradient_sum + optimizer),
            master=Footprint(host=optimizer),
            optimizer=Footprint(host=kept * optimizer),
        )
    return ModelStates(
        parameters=working,
        gradients=Footprint(device=gradient_sum),
        master=Footprint(device=optimizer),
        optimizer=Footprint(device=kept * optimizer),
    )
