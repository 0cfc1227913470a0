"""The strategies that a plan compares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from launch.plan.strategy import Strategy, all_variants, is_allowed, zero_variants
from pacos.configs.cluster import ClusterConfig
from pacos.identity import identity
from sft.config import SFTConfig
from sft.configs.batch import BatchConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.data import DataConfig
from sft.configs.deepspeed import DeepSpeedConfig, Offload
from sft.estimate.workload import Epoch


def a_config(nodes: int = 1, **zero: object) -> SFTConfig:
    return SFTConfig(
        data=DataConfig(path="owner/name", max_length=1024),
        batch=BatchConfig(tokens=65_536),
        deepspeed=replace(DeepSpeedConfig(), **zero),
        cluster=ClusterConfig(nodes=nodes, ranks_per_node=8),
    )


def test_a_strategy_changes_its_six_settings_and_no_result() -> None:
    config = a_config()
    strategy = Strategy(
        stage=3,
        offload_optimizer=Offload.cpu,
        offload_parameters=Offload.cpu,
        parameters_per_node=True,
        activation_checkpointing=ActivationCheckpointing.full,
        micro_packs=4,
    )
    changed = strategy.apply(config)
    assert Strategy.of(changed) == strategy
    assert Strategy.of(config).apply(changed) == config
    assert identity(changed) == identity(config)


def test_hpz_needs_several_nodes() -> None:
    one, two = (list(zero_variants(a_config(nodes))) for nodes in (1, 2))
    assert [variant.deepspeed.stage for variant in one] == [0, 1, 2, 2, 3, 3, 3]
    assert sum(variant.deepspeed.parameters_per_node for variant in two) == 2


def test_a_pass_holds_no_more_packs_than_a_rank_has() -> None:
    config = a_config()
    epoch = Epoch.of(config, np.full(640, 1024))
    sizes = {variant.batch.micro_packs for variant in all_variants(config, epoch)}
    assert sizes == {1, 2, 4, 8}, "64 packs a step over 8 ranks"


def test_a_variant_may_have_no_new_problem() -> None:
    compiled = replace(a_config(), compile=True)
    stages = {variant.deepspeed.stage for variant in zero_variants(compiled)}
    assert stages == {0, 1, 2}, "compile does not go with ZeRO-3"
    already_wrong = replace(compiled, activation_checkpointing=ActivationCheckpointing.selective)
    third = replace(already_wrong, deepspeed=replace(compiled.deepspeed, stage=3))
    assert is_allowed(third, already_wrong)
