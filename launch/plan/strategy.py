"""The strategies that a plan compares: settings that change memory and time, never results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sft.config import SFTConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.deepspeed import Offload
from sft.estimate.workload import Epoch

MICRO_PACKS = (1, 2, 4, 8, 16)
"""Values of batch.micro_packs to try: up to 32,768 tokens per pass at the default max_length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """The division of model states over ranks, and the recomputation of activations.

    All of these fields are free: a run may change its strategy between two lives.
    """

    stage: int
    offload_optimizer: Offload
    offload_parameters: Offload
    parameters_per_node: bool
    activation_checkpointing: ActivationCheckpointing
    micro_packs: int

    @classmethod
    def of(cls, config: SFTConfig) -> Strategy:
        zero = config.deepspeed
        return cls(
            stage=zero.stage,
            offload_optimizer=zero.offload_optimizer,
            offload_parameters=zero.offload_parameters,
            parameters_per_node=zero.parameters_per_node,
            activation_checkpointing=config.activation_checkpointing,
            micro_packs=config.batch.micro_packs,
        )

    def apply(self, config: SFTConfig) -> SFTConfig:
        """Return the config with this strategy; everything else stays as it is."""
        return replace(
            config,
            deepspeed=replace(
                config.deepspeed,
                stage=self.stage,
                offload_optimizer=self.offload_optimizer,
                offload_parameters=self.offload_parameters,
                parameters_per_node=self.parameters_per_node,
            ),
            batch=replace(config.batch, micro_packs=self.micro_packs),
            activation_checkpointing=self.activation_checkpointing,
        )


def is_allowed(variant: SFTConfig, config: SFTConfig) -> bool:
    """Return True if a variant has no problem under a key that the config has none under.

    A plan can be made for a config that is not yet valid, so its own problems do not count.
    """
    known = {problem.key for problem in config.problems()}
    return {problem.key for problem in variant.problems()} <= known


def zero_variants(config: SFTConfig) -> Iterator[SFTConfig]:
    """Yield the config under every ZeRO stage, with the offloads to host memory that it allows."""
    for strategy in _zero_strategies(config):
        variant = strategy.apply(config)
        if is_allowed(variant, config):
            yield variant


def all_variants(config: SFTConfig, epoch: Epoch) -> Iterator[SFTConfig]:
    """Yield the config under every ZeRO variant, activation checkpointing and size of a pass."""
    most = epoch.plan.packs_per_rank(config.deepspeed.data_ranks(config.cluster.world_size()))
    # A pass of more packs than a rank has in a step is the same pass.
    sizes = [size for size in MICRO_PACKS if size == 1 or size <= most]
    for zero in zero_variants(config):
        for checkpointing in ActivationCheckpointing:
            for micro_packs in sizes:
                strategy = replace(
                    Strategy.of(zero),
                    activation_checkpointing=checkpointing,
                    micro_packs=micro_packs,
                )
                variant = strategy.apply(zero)
                if is_allowed(variant, config):
                    yield variant


def _zero_strategies(config: SFTConfig) -> Iterable[Strategy]:
    none, cpu = Offload.none, Offload.cpu
    several_nodes = config.cluster.nodes > 1 and config.cluster.ranks_per_node > 1
    choices = [(stage, none, none, False) for stage in (0, 1, 2)]
    choices += [(2, cpu, none, False)]
    for hpz in (False, True) if several_nodes else (False,):
        choices += [(3, none, none, hpz), (3, cpu, none, hpz)]
    # Offload to a disk is never proposed: it needs deepspeed.nvme_path, which only the user knows.
    choices += [(3, cpu, cpu, False)]
    for stage, optimizer, parameters, hpz in choices:
        yield replace(
            Strategy.of(config),
            stage=stage,
            offload_optimizer=optimizer,
            offload_parameters=parameters,
            parameters_per_node=hpz,
        )
