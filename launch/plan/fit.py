"""The check before a training run starts: a run that cannot fit is refused, with what would."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from launch.config import SCHEMAS, AnyConfig, PipelineConfig
from launch.plan.estimate import Option, Verdict, alternatives
from launch.plan.forecast import Prospect
from launch.plan.machine import Machine, machine_of
from launch.plan.recommend import best, words
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
    """Compose and check a config, and see that it fits.

    Raises:
        ConfigError: with every problem.
    """
    config = compose_checked(schema, SCHEMAS, overrides)
    refuse_what_cannot_fit(config)
    return config


def refuse_what_cannot_fit(config: AnyConfig) -> None:
    """Refuse a training run that surely runs out of memory, before anything of it is written.

    A GPU run is refused where it needs more than the prediction may be wrong by; a run on CPUs only
    where what it holds from step to step is more than the machine has.

    Raises:
        ConfigError: it is refused; what would fit is said.
    """
    if isinstance(config, PipelineConfig):
        config = config.sft
    if not isinstance(config, SFTConfig) or not config.cluster.must_fit:
        return
    machine, size = machine_of(config.cluster), data_size(config.data)
    asked = Option.of(config, Epoch.of(config, size.lengths), machine)
    excess = _excess(asked, machine)
    if excess:
        raise ConfigError([Problem("model", config.model.name, excess, _remedy(config, size))])


def _excess(asked: Option, machine: Machine) -> str:
    """What does not fit into what; empty where nothing surely does not."""
    if machine.gpu is None:
        held, there = asked.memory.held.device(), machine.device_bytes
        if held <= there:
            return ""
        part = "a rank's part of this machine's memory"
        return f"does not fit: {_gib(held)} of weights and states a rank, where {part} is " + _gib(
            there
        )
    if asked.device is Verdict.too_large:
        return (
            f"does not fit: {_gib(asked.memory.device())} a rank, where {machine.name} "
            f"({machine.known}) has {_gib(machine.device_bytes)}"
        )
    if asked.on_host is Verdict.too_large and machine.host_bytes is not None:
        return (
            f"does not fit: {_gib(asked.host)} in host memory, where this machine has "
            f"{_gib(machine.host_bytes)}"
        )
    return ""


def _remedy(config: SFTConfig, size: DataSize) -> str:
    prospect = Prospect.of(config, size)
    found = []
    if prospect.chosen is not None:
        host = f" ({_gib(prospect.chosen.host)} of host memory)" * prospect.chosen.offloads()
        found.append(f"use {' '.join(words(prospect.chosen.config, config))}{host}")
    else:
        narrow = _in_bf16(prospect)
        if narrow is not None:
            found.append(f"use {' '.join(words(narrow.config, config))}")
        if prospect.fewest is not None and prospect.machine.gpu is not None:
            cluster = prospect.fewest.config.cluster
            found.append(f"take {cluster.nodes} x {cluster.ranks_per_node} {prospect.machine.name}")
        found = found or ["choose a smaller model, or a larger machine"]
    return ", or ".join([*found, "start it all the same with cluster.must_fit=false"])


def _in_bf16(prospect: Prospect) -> Option | None:
    """The best way with states in bf16 too; None where none fits."""
    if prospect.config.precision is Precision.bf16_states:
        return None
    none = Offload.none
    zero = dataclasses.replace(
        prospect.config.deepspeed, offload_optimizer=none, offload_parameters=none, stage=3
    )
    narrow = dataclasses.replace(prospect.config, precision=Precision.bf16_states, deepspeed=zero)
    work = prospect.asked.work
    ways = alternatives(narrow, work)
    return best(Option.of(way, work.epoch, prospect.machine) for way in ways)


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB"
