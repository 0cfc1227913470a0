"""Time of a step, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pacos.configs.cluster import ClusterConfig
from pacos.configs.model import ModelConfig
from pacos.gpus import GPUS
from pacos.model.shape import ModelShape
from sft.config import SFTConfig
from sft.configs.batch import BatchConfig
from sft.configs.compute import ActivationCheckpointing
from sft.configs.data import DataConfig
from sft.configs.deepspeed import DeepSpeedConfig, Offload
from sft.estimate.speed import LINK_EFFICIENCY, StepTime, step_time
from sft.estimate.workload import Epoch, Workload
from sft.steps.plan import StepPlan

SHAPE = ModelShape()
BYTES = 2 * SHAPE.num_parameters()
H100 = GPUS["H100"]


def a_config(
    nodes: int = 1, kept: ActivationCheckpointing = ActivationCheckpointing.none, **zero: Any
) -> SFTConfig:
    return SFTConfig(
        model=ModelConfig(shape=SHAPE),
        data=DataConfig(max_length=1024),
        batch=BatchConfig(tokens=65_536, micro_packs=2),
        deepspeed=DeepSpeedConfig(**zero),
        cluster=ClusterConfig(nodes=nodes, ranks_per_node=8, network_gbps=400),
        activation_checkpointing=kept,
    )


def a_time(config: SFTConfig) -> StepTime:
    lengths = np.full(640, 1024)
    return step_time(config, Workload.of(config, Epoch.of(config, lengths)), H100)


def test_work_is_divided_as_the_step_plan_divides_it() -> None:
    config, lengths = a_config(), np.full(640, 1024)
    work = Workload.of(config, Epoch.of(config, lengths))
    plan = StepPlan.of(lengths, 1024, config.batch, SHAPE)
    assert work.steps == 3 * plan.steps_per_epoch == 30
    assert work.passes == plan.passes(8) == 4
    assert work.pass_tokens == 2048
    assert work.step_tokens == 65_536


def test_compute_is_flops_over_a_share_of_the_peak() -> None:
    flops = SHAPE.training_flops(65_536, 64 * 1024**2)
    fast, slow = a_time(a_config(stage=2)).compute
    assert fast == pytest.approx(flops / 8 / 989.4e12 / 0.52)
    assert slow / fast == pytest.approx(0.52 / 0.36)
    full = a_time(a_config(stage=2, kept=ActivationCheckpointing.full)).compute
    assert full[0] == pytest.approx(fast * 4 / 3)


@pytest.mark.parametrize(
    ("zero", "times"),
    [({"stage": 0}, 2), ({"stage": 1}, 3), ({"stage": 2}, 4 * 2 + 1), ({"stage": 3}, 4 * 3)],
)
def test_every_stage_sends_what_it_has_to(zero: dict[str, Any], times: int) -> None:
    """In copies of the weights a step of four passes, 7/8 of each: a rank has an eighth itself."""
    expected = times * BYTES * 7 / 8 / (450e9 * LINK_EFFICIENCY)
    assert a_time(a_config(**zero)).network == pytest.approx(expected)


def test_the_network_between_nodes_is_the_slower_and_hpz_spares_a_third() -> None:
    plain = a_time(a_config(nodes=2, stage=3)).network
    assert plain == pytest.approx(2 * 3 * BYTES * 15 / 16 / (50e9 * LINK_EFFICIENCY))
    spared = a_time(a_config(nodes=2, stage=3, parameters_per_node=True)).network
    assert spared == pytest.approx(plain * 2 / 3, rel=0.06)
    assert a_time(a_config(nodes=2, stage=3)).bottleneck() == "network"


def test_what_is_offloaded_takes_its_time() -> None:
    assert a_time(a_config(stage=2)).update == 0
    cpu = a_time(a_config(stage=3, offload_optimizer=Offload.cpu)).update
    disk = a_time(a_config(stage=3, offload_optimizer=Offload.nvme, nvme_path="/disk")).update
    assert 0 < cpu < disk


def test_the_ends_hide_the_network_or_do_not() -> None:
    time = StepTime(compute=(2.0, 3.0), network=1.0, update=0.5)
    assert time.seconds() == (2.5, 4.5)
    assert StepTime(compute=(2.0, 3.0), network=4.0, update=0.0).seconds() == (4.0, 7.0)
