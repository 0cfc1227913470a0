"""All that `pacos plan` has to say of a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from launch.plan.estimate import Option, alternatives, divisions
from launch.plan.machine import Machine, machine_of
from launch.plan.recommend import best, reasons, smallest
from pacos.errors import Problem
from sft.config import SFTConfig
from sft.estimate.data_size import DataSize
from sft.estimate.disk import DiskNeed, token_cache_bytes
from sft.estimate.workload import Epoch

CHINCHILLA = 21.6
"""Tokens a parameter of compute-optimal pretraining (Hoffmann et al. 2022, arXiv 2203.15556: 67 B
parameters and 1.5 T tokens for Chinchilla's budget are 22)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """A config on its machines, and what would be better."""

    config: SFTConfig
    machine: Machine
    data: DataSize
    asked: Option
    """The config as it is."""
    divisions: list[Option]
    """Each ZeRO stage and offload, the rest as it is."""
    chosen: Option | None
    """The best way on the same machines; None where none fits."""
    reasons: list[str]
    fewest: Option | None
    """With the fewest GPUs of the kind, without offload."""
    fewest_offloaded: Option | None
    disk: DiskNeed
    problems: Sequence[Problem]
    """What keeps the config from running beside memory, such as data that are not there."""

    @classmethod
    def of(cls, config: SFTConfig, data: DataSize, problems: Sequence[Problem] = ()) -> Prospect:
        """Look ahead.

        Raises:
            UserError: a step would hold less than one pack.
        """
        machine, epoch = machine_of(config.cluster), Epoch.of(config, data.lengths)
        asked = Option.of(config, epoch, machine)
        chosen = best(Option.of(way, epoch, machine) for way in alternatives(config, asked.work))
        return cls(
            config=config,
            machine=machine,
            data=data,
            asked=asked,
            divisions=[Option.of(way, epoch, machine) for way in divisions(config)],
            chosen=chosen,
            reasons=reasons(chosen, epoch, machine) if chosen else [],
            fewest=smallest(config, epoch, machine, offload=False),
            fewest_offloaded=smallest(config, epoch, machine, offload=True),
            disk=DiskNeed.of(config, asked.work.steps),
            problems=problems,
        )

    def token_cache(self) -> int:
        """Bytes."""
        epoch = self.asked.work.epoch
        return token_cache_bytes(epoch.rows, epoch.tokens)

    def mfu(self) -> tuple[float, float] | None:
        """Share of the peak that model FLOPs reach, at the slow and at the fast end."""
        if self.asked.time is None or self.machine.gpu is None:
            return None
        fast, slow = self.asked.time.seconds()
        peak = self.machine.gpu.teraflops * 1e12 * self.config.cluster.world_size()
        flops = self.asked.work.step_flops
        return flops / slow / peak, flops / fast / peak

    def optimal_tokens(self) -> float:
        """Of compute-optimal pretraining of a model of this size."""
        return CHINCHILLA * self.config.model.shape.num_parameters()
