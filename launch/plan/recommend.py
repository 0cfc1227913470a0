"""Which way of running a config is best on its machines, and how few GPUs would do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from launch.plan.estimate import Option, divisions, vary
from launch.plan.machine import Machine
from pacos.configs.shared import flatten
from sft.config import SFTConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.deepspeed import Offload
from sft.estimate.workload import Epoch

ALIKE = 1.02
"""Times that differ by less are the same: the simpler way is taken."""
GPUS_OF_A_NODE = (1, 2, 4, 8)
GIB = 2**30
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
    computes_twice = list(ActivationCheckpointing).index(config.activation_checkpointing)
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
            for kept in ActivationCheckpointing
        ]
        found = best(way for way in ways if offload or not way.offloads())
        if found is not None:
            return found
    return None


def _counts() -> Iterator[tuple[int, int]]:
    yield from ((1, gpus) for gpus in GPUS_OF_A_NODE)
    yield from ((nodes, GPUS_OF_A_NODE[-1]) for nodes in NODES)


def reasons(chosen: Option, epoch: Epoch, machine: Machine) -> list[str]:
    """Why this way: what its nearest others would need, or how much slower they would be."""
    found = []
    for name, config in _neighbours(chosen.config).items():
        other = Option.of(config, epoch, machine)
        if config.batch.micro_packs > chosen.config.batch.micro_packs and (
            other.work.passes == chosen.work.passes
        ):
            continue  # a step has no more packs
        if not other.fits():
            host = f" and {other.host / GIB:,.0f} GiB a host" if other.offloads() else ""
            found.append(f"{name}: {other.memory.device() / GIB:,.1f} GiB a rank{host}")
        elif chosen.time and other.time:
            longer = other.time.typical() / chosen.time.typical() - 1
            found.append(f"{name}: {longer:.0%} slower" if longer > 0.01 else f"{name}: as fast")
    return found


def _neighbours(config: SFTConfig) -> dict[str, SFTConfig]:
    """The ways that differ from a config in one thing, by its name."""
    zero, none = config.deepspeed, Offload.none
    ways: dict[str, SFTConfig] = {}
    for stage in (0, 1, 2, 3):
        if stage != zero.stage:
            ways[f"ZeRO-{stage}"] = vary(
                config, stage=stage, parameters_per_node=False, offload_parameters=none
            )
    if zero.parameters_per_node:
        ways["without hpZ"] = vary(config, parameters_per_node=False)
    if zero.offload_optimizer is not none:
        ways["without offload"] = vary(config, offload_optimizer=none, offload_parameters=none)
    kept = list(ActivationCheckpointing)
    computed_twice = kept.index(config.activation_checkpointing)
    if computed_twice:
        less = kept[computed_twice - 1]
        ways[f"activation_checkpointing={less.name}"] = vary(config, activation_checkpointing=less)
    packs = config.batch.micro_packs
    for other in (packs // 2, packs * 2):
        if other:
            ways[f"batch.micro_packs={other}"] = vary(config, micro_packs=other)
    wrong = {problem.key for problem in config.problems()}
    return {
        name: way
        for name, way in ways.items()
        if {problem.key for problem in way.problems()} <= wrong
    }
