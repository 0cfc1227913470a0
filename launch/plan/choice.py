"""Which way of running a config is best on its machines, and how few GPUs would do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from launch.plan.machine import Machine
from launch.plan.option import Option, divisions, vary
from pacos.config import flatten
from sft.config import SFTConfig
from sft.engine_config import Offload
from sft.model_config import Checkpointing
from sft.needs.workload import Epoch

ALIKE = 1.02
"""Times that differ by less are the same: the simpler way is taken."""
GPUS_OF_A_NODE = (1, 2, 4, 8)
NODES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def best(options: Iterable[Option]) -> Option | None:
    """The fastest that fits; of those that are as fast, the simplest. None where none fits."""
    fitting = [option for option in options if option.fits()]
    if not fitting:
        return None
    if fitting[0].time is None:
        return min(fitting, key=_complexity)
    fastest = min(option.time.typical() for option in fitting if option.time)
    alike = [
        option for option in fitting if option.time and option.time.typical() <= ALIKE * fastest
    ]
    return min(alike, key=_complexity)


def _complexity(option: Option) -> tuple[object, ...]:
    config = option.config
    zero = config.deepspeed
    # ZeRO-2 before the stages below it: it is as fast, and leaves memory for longer passes.
    order = (2, 1, 0, 3).index(zero.stage)
    computes_twice = list(Checkpointing).index(config.activation_checkpointing)
    return (
        option.offloads(),
        order,
        zero.parameters_per_node,
        computes_twice,
        config.batch.micro_packs,
        option.memory.device(),
    )


def words(changed: SFTConfig, config: SFTConfig) -> list[str]:
    """KEY=VALUE of what differs between two configs."""
    before, after = flatten(config), flatten(changed)
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in after.items()
        if before[key] != value
    ]


def smallest(config: SFTConfig, epoch: Epoch, machine: Machine, *, offload: bool) -> Option | None:
    """The way with the fewest GPUs of this kind, one pack a pass; None where 64 nodes are too few.

    Args:
        config: of any number of GPUs.
        epoch: of it.
        machine: its host memory is left out of account.
        offload: whether host memory may be used.
    """
    unlimited = dataclasses.replace(machine, host_bytes=None)
    for nodes, gpus in _counts():
        cluster = dataclasses.replace(config.cluster, nodes=nodes, ranks_per_node=gpus)
        zero = dataclasses.replace(config.deepspeed, sequence_ranks=1)
        asked = dataclasses.replace(config, cluster=cluster, deepspeed=zero)
        ways = [
            Option.of(vary(way, activation_checkpointing=kept, micro_packs=1), epoch, unlimited)
            for way in divisions(asked)
            for kept in Checkpointing
        ]
        found = best(way for way in ways if offload or not way.offloads())
        if found is not None:
            return found
    return None


def _counts() -> Iterator[tuple[int, int]]:
    yield from ((1, gpus) for gpus in GPUS_OF_A_NODE)
    yield from ((nodes, GPUS_OF_A_NODE[-1]) for nodes in NODES)


def reasons(chosen: Option, options: list[Option]) -> list[str]:
    """Why this way: what the others lack.

    Args:
        chosen: the way.
        options: each division at the checkpointing and the size of a pass of the way chosen.
    """
    config, zero = chosen.config, chosen.config.deepspeed
    found = []
    if chosen.offloads():
        found.append("nothing fits without offload")
    elif zero.stage == 3:
        found.append("ZeRO-3: with whole weights on each GPU nothing fits, or less of a pass does")
    else:
        found.append(f"ZeRO-{zero.stage} fits, and sends less than ZeRO-3")
    if zero.parameters_per_node:
        found.append("a second copy of the weights in each node: the backward pass gathers inside")
    packs = config.batch.micro_packs
    if packs > 1 and chosen.config.cluster.world_size() > 1:
        found.append(f"{packs} packs a pass: each pass sends as much, so fewer passes send less")
    elif packs > 1:
        found.append(f"{packs} packs a pass: fewer passes")
    if config.activation_checkpointing is not Checkpointing.none:
        found.append(
            f"activation_checkpointing={config.activation_checkpointing.name}: with less, what is "
            "kept does not fit"
        )
    if zero.offload_optimizer is Offload.cpu and any(
        option.config.deepspeed.stage == 2 and option.offloads() and not option.fits()
        for option in options
    ):
        found.append("ZeRO-2 with offload would keep the fp32 sum of gradients on the GPU")
    return found
