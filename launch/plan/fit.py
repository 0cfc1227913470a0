"""The check before a training run starts: a run that cannot fit is refused, with the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from launch.config import SCHEMAS, AnyConfig, PipelineConfig
from launch.plan.estimate import Estimate, MemoryFit
from launch.plan.forecast import Forecast
from launch.plan.machine import Machine, machine_of
from launch.plan.recommend import best, overrides_between
from launch.plan.strategy import all_variants
from pacos.configs.compose import compose_checked
from pacos.errors import ConfigError, Problem
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import Offload
from sft.estimate.data_size import DataSize, data_size
from sft.estimate.workload import Epoch

GIB = 2**30

C = TypeVar("C", bound=AnyConfig)


def compose_fitting(schema: type[C], overrides: Sequence[str]) -> C:
    """Compose a config, check it, and check that it fits.

    Raises:
        ConfigError: with every problem.
    """
    config = compose_checked(schema, SCHEMAS, overrides)
    refuse_if_too_large(config)
    return config


def refuse_if_too_large(config: AnyConfig) -> None:
    """Refuse a training run that is sure to run out of memory, before it writes anything.

    A GPU run is refused if it exceeds the memory by more than the estimate may be wrong. The limit
    of a CPU run is looser: only its model states have to fit.

    Raises:
        ConfigError: it is refused; the message names a config that fits.
    """
    if isinstance(config, PipelineConfig):
        config = config.sft
    if not isinstance(config, SFTConfig) or not config.cluster.must_fit:
        return
    machine, size = machine_of(config.cluster), data_size(config.data)
    requested = Estimate.of(config, Epoch.of(config, size.lengths), machine)
    excess = _excess(requested, machine)
    if excess is not None:
        raise ConfigError([Problem("model", config.model.name, excess, _remedy(config, size))])


def _excess(requested: Estimate, machine: Machine) -> str | None:
    """Return what does not fit into what; None unless something is sure not to fit."""
    if machine.gpu is None:
        states, available = requested.memory.states.device_bytes(), machine.device_bytes
        if states <= available:
            return None
        return (
            f"does not fit: needs {_gib(states)} of weights and optimizer states per rank, but a "
            f"rank's share of this machine's memory is {_gib(available)}"
        )
    if requested.device_fit is MemoryFit.too_large:
        return (
            f"does not fit: needs {_gib(requested.memory.device_bytes())} per rank, but "
            f"{machine.name} ({machine.known_from}) has {_gib(machine.device_bytes)}"
        )
    if requested.host_fit is MemoryFit.too_large and machine.host_bytes is not None:
        return (
            f"does not fit: needs {_gib(requested.host_bytes)} of host memory, but this machine "
            f"has {_gib(machine.host_bytes)}"
        )
    return None


def _remedy(config: SFTConfig, size: DataSize) -> str:
    forecast = Forecast.of(config, size)
    recommended, fewest = forecast.recommended, forecast.fewest
    remedies = []
    if recommended is not None:
        overrides = " ".join(overrides_between(config, recommended.config))
        host = f" ({_gib(recommended.host_bytes)} of host memory)"
        remedies.append(f"use {overrides}{host if recommended.offloads() else ''}")
    else:
        in_bf16 = _best_with_bf16_states(forecast)
        if in_bf16 is not None:
            remedies.append(f"use {' '.join(overrides_between(config, in_bf16.config))}")
        if fewest is not None and forecast.machine.gpu is not None:
            cluster = fewest.config.cluster
            remedies.append(
                f"take {cluster.nodes} x {cluster.ranks_per_node} {forecast.machine.name}"
            )
        remedies = remedies or ["choose a smaller model, or a larger machine"]
    return ", or ".join([*remedies, "start it anyway with cluster.must_fit=false"])


def _best_with_bf16_states(forecast: Forecast) -> Estimate | None:
    """Return the best strategy with optimizer states in bf16; None if none fits."""
    config = forecast.config
    if config.precision is Precision.bf16_states:
        return None
    # bf16 states require ZeRO without offload: see SFTConfig.problems.
    zero = replace(
        config.deepspeed, stage=3, offload_optimizer=Offload.none, offload_parameters=Offload.none
    )
    in_bf16 = replace(config, precision=Precision.bf16_states, deepspeed=zero)
    epoch = forecast.requested.work.epoch
    return best(
        Estimate.of(variant, epoch, forecast.machine) for variant in all_variants(in_bf16, epoch)
    )


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB"
