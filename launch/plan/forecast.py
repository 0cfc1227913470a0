"""The forecast that `pacos plan` shows: a config as requested, its variants, and better ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from launch.plan.estimate import Estimate
from launch.plan.machine import Machine, machine_of
from launch.plan.recommend import best, fewest_gpus, reasons
from launch.plan.strategy import all_variants, zero_variants
from pacos.errors import Problem
from sft.config import SFTConfig
from sft.estimate.data_size import DataSize
from sft.estimate.disk import DiskEstimate, token_cache_bytes
from sft.estimate.workload import Epoch

CHINCHILLA = 21.6
"""Tokens per parameter of compute-optimal pretraining (Hoffmann et al. 2022, arXiv 2203.15556: 67 B
parameters and 1.5 T tokens for Chinchilla's budget make 22)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A config on its machines, and better ways to run it."""

    config: SFTConfig
    machine: Machine
    data: DataSize
    requested: Estimate
    """The config as given."""
    zero_variants: list[Estimate]
    """The config under each ZeRO stage and offload."""
    recommended: Estimate | None
    """The best strategy on the same machines; None if none fits."""
    reasons: list[str]
    """Why it is recommended, one line per neighboring strategy."""
    fewest: Estimate | None
    """The fewest GPUs of this kind, without offload."""
    fewest_offloaded: Estimate | None
    """The fewest GPUs of this kind, with offload to host memory."""
    disk: DiskEstimate
    problems: Sequence[Problem]
    """Problems that do not keep a plan from being made, such as data that is not there yet."""

    @classmethod
    def of(cls, config: SFTConfig, data: DataSize, problems: Sequence[Problem] = ()) -> Forecast:
        """Estimate a config and its alternatives.

        Raises:
            UserError: a step would hold less than one pack.
        """
        # One packing for all: packs do not depend on the strategy or the number of ranks.
        machine, epoch = machine_of(config.cluster), Epoch.of(config, data.lengths)
        requested = Estimate.of(config, epoch, machine)
        recommended = best(
            Estimate.of(variant, epoch, machine) for variant in all_variants(config, epoch)
        )
        return cls(
            config=config,
            machine=machine,
            data=data,
            requested=requested,
            zero_variants=[
                Estimate.of(variant, epoch, machine) for variant in zero_variants(config)
            ],
            recommended=recommended,
            reasons=reasons(recommended, epoch, machine) if recommended else [],
            fewest=fewest_gpus(config, epoch, machine, offload=False),
            fewest_offloaded=fewest_gpus(config, epoch, machine, offload=True),
            disk=DiskEstimate.of(config, requested.work.steps),
            problems=problems,
        )

    def token_cache_bytes(self) -> int:
        """Return the bytes of the token cache on disk."""
        epoch = self.requested.work.epoch
        return token_cache_bytes(epoch.rows, epoch.tokens)

    def mfu(self) -> tuple[float, float] | None:
        """Return the model FLOPs utilization at the slow and at the fast end; None on CPUs."""
        if self.requested.time is None or self.machine.gpu is None:
            return None
        fast, slow = self.requested.time.seconds()
        peak = self.machine.gpu.teraflops * 1e12 * self.config.cluster.world_size()
        flops = self.requested.work.step_flops
        return flops / slow / peak, flops / fast / peak

    def optimal_tokens(self) -> float:
        """Return the tokens of compute-optimal pretraining of a model of this size."""
        return CHINCHILLA * self.config.model.shape.num_parameters()
