"""What DeepSpeed holds of the model from step to step: weights, gradients, states."""

from __future__ import annotations

from dataclasses import dataclass, field

from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import LIVE_PARAMETERS, Offload


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Bytes of one rank by where they lie."""

    device: float = 0.0
    """On its GPU; of CPU ranks, in host memory."""
    host: float = 0.0
    disk: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one rank holds at the end of the last backward pass of a step."""

    parameters: Amount
    """Working weights, and copies of them that wait for others."""
    gradients: Amount
    master: Amount = field(default_factory=Amount)
    """The optimizer's own copy of the weights."""
    moments: Amount = field(default_factory=Amount)
    """Adam's two."""

    def device(self) -> float:
        """Bytes on the device."""
        return sum(part.device for part in self.parts())

    def host(self) -> float:
        """Bytes in host memory, beside those of a CPU rank's own device."""
        return sum(part.host for part in self.parts())

    def disk(self) -> float:
        """Bytes on the local disk that is offloaded to."""
        return sum(part.disk for part in self.parts())

    def parts(self) -> tuple[Amount, ...]:
        return self.parameters, self.gradients, self.master, self.moments


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes of a number by what it is for, as `sft.engine.deepspeed.deepspeed_config` sets them."""

    weight: int
    """Of weights, activations, and gradients as they are computed and sent."""
    kept: int
    """Of the optimizer's copy of the weights, and of each moment."""
    summed: int
    """Of the sum of the micro-batches' gradients."""

    @classmethod
    def of(cls, config: SFTConfig) -> Widths:
        if config.precision is Precision.fp32:
            return cls(4, 4, 4)
        if config.precision is Precision.bf16_states:
            return cls(2, 2, 2)
        return cls(2, 4, 2 if config.deepspeed.stage == 0 else 4)


def held(config: SFTConfig) -> Held:
    """What one rank holds; tensors of DeepSpeed 0.19.8, its padding left out."""
    parameters = config.model.shape.num_parameters()
    share = parameters / config.cluster.world_size()
    zero, width = config.deepspeed, Widths.of(config)
    if zero.stage == 0:
        # fp32 weights are updated themselves; of others DeepSpeed makes a copy for the update.
        copy = 0 if config.precision is Precision.fp32 else 4
        return Held(
            parameters=Amount(device=width.weight * parameters),
            gradients=Amount(device=width.summed * parameters),
            master=Amount(device=copy * parameters),
            moments=Amount(device=8 * parameters),
        )
    if zero.stage == 3:
        return _held_of_stage_3(config, parameters, share, width)
    return _held_of_stages_1_and_2(config, parameters, share, width)


def _held_of_stages_1_and_2(
    config: SFTConfig, parameters: float, share: float, width: Widths
) -> Held:
    offloaded = config.deepspeed.offload_optimizer is not Offload.none
    mixed = width.summed != width.weight
    if config.deepspeed.stage == 1:
        # With bf16 weights the sum of all gradients is in fp32. Without offload DeepSpeed keeps the
        # bf16 ones beside it.
        more = width.weight if mixed and not offloaded else 0
        gradients = (width.summed + more) * parameters
    else:
        # With offload too the fp32 sum lies on the device; sums in the weights' own format do not.
        gradients = width.summed * share if mixed or not offloaded else 0
    weights = width.weight * parameters
    if not offloaded:
        return Held(
            parameters=Amount(device=weights),
            gradients=Amount(device=gradients),
            master=Amount(device=width.kept * share),
            moments=Amount(device=2 * width.kept * share),
        )
    return Held(
        parameters=Amount(device=weights, host=width.weight * share),
        gradients=Amount(device=gradients, host=(width.kept + (0 if mixed else 4)) * share),
        master=Amount(host=width.kept * share),
        moments=Amount(host=2 * width.kept * share),
    )


def _held_of_stage_3(config: SFTConfig, parameters: float, share: float, width: Widths) -> Held:
    zero, nvme = config.deepspeed, Offload.nvme
    weights = width.weight * share
    per_node = width.weight * parameters / config.cluster.ranks_per_node
    second = per_node if zero.parameters_per_node else 0
    if zero.offload_parameters is nvme:
        most = width.weight * min(share, LIVE_PARAMETERS)
        where = Amount(device=second, host=most, disk=weights)
    elif zero.offload_parameters is Offload.cpu:
        where = Amount(device=second, host=weights)
    else:
        where = Amount(device=weights + second)
    summed, kept = width.summed * share, width.kept * share
    if zero.offload_optimizer is nvme:
        return Held(
            parameters=where,
            gradients=Amount(host=summed, disk=kept),
            master=Amount(disk=kept),
            moments=Amount(disk=2 * kept),
        )
    if zero.offload_optimizer is Offload.cpu:
        return Held(
            parameters=where,
            gradients=Amount(host=summed + kept),
            master=Amount(host=kept),
            moments=Amount(host=2 * kept),
        )
    return Held(
        parameters=where,
        gradients=Amount(device=summed),
        master=Amount(device=kept),
        moments=Amount(device=2 * kept),
    )
