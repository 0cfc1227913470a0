"""The best strategy for a config on its machines, the reasons for it, and the fewest GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from launch.plan.estimate import Estimate
from launch.plan.machine import Machine
from launch.plan.strategy import Strategy, is_allowed, zero_variants
from pacos.identity import flatten
from sft.config import SFTConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.deepspeed import Offload
from sft.estimate.workload import Epoch

SAME_SPEED = 1.02
"""Ratio of two step times up to which they count as equal and the simpler strategy wins."""
GPUS_PER_NODE = (1, 2, 4, 8)
NODES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
GIB = 2**30


def best(estimates: Iterable[Estimate]) -> Estimate | None:
    """Return the fastest that fits, the simplest among equally fast ones; None if none fits."""
    fitting = [estimate for estimate in estimates if estimate.fits()]
    if not fitting:
        return None
    if fitting[0].time is None:
        return min(fitting, key=_complexity)
    fastest = min(estimate.time.typical() for estimate in fitting if estimate.time)
    equally_fast = [
        estimate
        for estimate in fitting
        if estimate.time and estimate.time.typical() <= SAME_SPEED * fastest
    ]
    return min(equally_fast, key=_complexity)


def _complexity(estimate: Estimate) -> tuple[object, ...]:
    config = estimate.config
    zero = config.deepspeed
    # ZeRO-2 ranks before the stages below it: it is as fast, and leaves memory for longer passes.
    preference = (2, 1, 0, 3).index(zero.stage)
    recomputation = list(ActivationCheckpointing).index(config.activation_checkpointing)
    return (
        estimate.offloads(),
        preference,
        zero.parameters_per_node,
        recomputation,
        config.batch.micro_packs,
        estimate.memory.device_bytes(),
    )


def overrides_between(config: SFTConfig, changed: SFTConfig) -> list[str]:
    """Return the KEY=VALUE overrides that turn one config into the other."""
    before, after = flatten(config), flatten(changed)
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in after.items()
        if before[key] != value
    ]


def fewest_gpus(
    config: SFTConfig, epoch: Epoch, machine: Machine, *, offload: bool
) -> Estimate | None:
    """Return the best strategy on the fewest GPUs; None if 64 nodes are too few.

    Args:
        config: of any number of GPUs.
        epoch: its packed rows.
        machine: the kind of GPU; any amount of host memory is assumed.
        offload: True to allow offload to host memory.
    """
    unlimited = replace(machine, host_bytes=None)
    for nodes, gpus in _gpu_counts():
        # Other numbers of ranks may not be divisible by the config's sequence_ranks.
        resized = replace(
            config,
            cluster=replace(config.cluster, nodes=nodes, ranks_per_node=gpus),
            deepspeed=replace(config.deepspeed, sequence_ranks=1),
        )
        estimates = (
            Estimate.of(variant, epoch, unlimited) for variant in _one_pack_variants(resized)
        )
        found = best(estimate for estimate in estimates if offload or not estimate.offloads())
        if found is not None:
            return found
    return None


def _one_pack_variants(config: SFTConfig) -> Iterator[SFTConfig]:
    """Yield the variants with the least memory per pass."""
    for zero in zero_variants(config):
        for checkpointing in ActivationCheckpointing:
            strategy = replace(
                Strategy.of(zero), activation_checkpointing=checkpointing, micro_packs=1
            )
            yield strategy.apply(zero)


def _gpu_counts() -> Iterator[tuple[int, int]]:
    yield from ((1, gpus) for gpus in GPUS_PER_NODE)
    yield from ((nodes, GPUS_PER_NODE[-1]) for nodes in NODES)


def reasons(recommended: Estimate, epoch: Epoch, machine: Machine) -> list[str]:
    """Return a line per neighboring strategy: the memory it needs, or how much slower it is."""
    lines = []
    for name, config in _neighbors(recommended.config).items():
        other = Estimate.of(config, epoch, machine)
        if config.batch.micro_packs > recommended.config.batch.micro_packs and (
            other.work.passes == recommended.work.passes
        ):
            continue  # a step has no more packs to put into a pass
        if not other.fits():
            host = f" and {other.host_bytes / GIB:,.0f} GiB per host" if other.offloads() else ""
            lines.append(
                f"{name}: needs {other.memory.device_bytes() / GIB:,.1f} GiB per rank{host}"
            )
        elif recommended.time and other.time:
            slowdown = other.time.typical() / recommended.time.typical() - 1
            lines.append(
                f"{name}: {slowdown:.0%} slower" if slowdown > 0.01 else f"{name}: as fast"
            )
    return lines


def _neighbors(config: SFTConfig) -> dict[str, SFTConfig]:
    """Return the variants that differ from a config in one setting, by its name."""
    current, none = Strategy.of(config), Offload.none
    strategies: dict[str, Strategy] = {}
    for stage in (0, 1, 2, 3):
        if stage != current.stage:
            strategies[f"ZeRO-{stage}"] = replace(
                current, stage=stage, parameters_per_node=False, offload_parameters=none
            )
    if current.parameters_per_node:
        strategies["without hpZ"] = replace(current, parameters_per_node=False)
    if current.offload_optimizer is not none:
        strategies["without offload"] = replace(
            current, offload_optimizer=none, offload_parameters=none
        )
    levels = list(ActivationCheckpointing)
    level = levels.index(current.activation_checkpointing)
    if level:
        less = levels[level - 1]
        strategies[f"activation_checkpointing={less.name}"] = replace(
            current, activation_checkpointing=less
        )
    for micro_packs in (current.micro_packs // 2, current.micro_packs * 2):
        if micro_packs:
            strategies[f"batch.micro_packs={micro_packs}"] = replace(
                current, micro_packs=micro_packs
            )
    variants = {name: strategy.apply(config) for name, strategy in strategies.items()}
    return {name: variant for name, variant in variants.items() if is_allowed(variant, config)}
