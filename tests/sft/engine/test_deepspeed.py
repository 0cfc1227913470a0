"""DeepSpeed's config as a function of typed fields, and what is refused before it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import deepspeed
import pytest
import torch

from pacos.configs.cluster import ClusterConfig
from pacos.distributed import World
from pacos.errors import UserError
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import DeepSpeedConfig, Offload
from sft.configs.optimizer import OptimizerConfig
from sft.engine import deepspeed as engine
from sft.engine.deepspeed import deepspeed_config, load_offload_op
from sft.model.loss import nll_sum
from sft.steps.batch import Batch
from tests.sft.engines import SHAPE, Case, a_model, an_engine, some_rows
from tests.sft.ranks import run_ranks

ALWAYS_GIVEN = {
    "gradient_clipping",
    "data_types",
    "communication_data_type",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "steps_per_print",
}


def a_config(precision: Precision = Precision.bf16, **zero: Any) -> SFTConfig:
    return SFTConfig(
        deepspeed=DeepSpeedConfig(**zero),
        cluster=ClusterConfig(ranks_per_node=8),
        optimizer=OptimizerConfig(max_grad_norm=0.5),
        precision=precision,
    )


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("precision", list(Precision))
def test_every_stage_and_precision_is_accepted_by_deepspeed(
    stage: int, precision: Precision
) -> None:
    made = deepspeed_config(a_config(precision, stage=stage), accumulation=4)
    if (stage, precision) == (0, Precision.bf16_states):
        return
    read = deepspeed.DeepSpeedConfig(made)
    assert made.keys() >= ALWAYS_GIVEN
    plain = (stage, precision) == (0, Precision.fp32)
    assert read.gradient_clipping == (0.0 if plain else 0.5)
    assert read.gradient_accumulation_steps == 4
    assert read.zero_config.stage == stage
    assert read.bfloat16_config.enabled is (precision is not Precision.fp32)
    assert read.bfloat16_config.check_grad_overflow


def test_micro_batches_are_summed_in_fp32_unless_states_are_bf16() -> None:
    def sums(precision: Precision) -> str:
        return str(deepspeed_config(a_config(precision), 1)["data_types"]["grad_accum_dtype"])

    assert sums(Precision.bf16) == sums(Precision.fp32) == "fp32"
    assert sums(Precision.bf16_states) == "bf16"


def test_the_config_of_deepspeed_tells_where_things_wait() -> None:
    zero = a_config(
        stage=3,
        offload_optimizer=Offload.nvme,
        offload_parameters=Offload.cpu,
        nvme_path="/disk",
        parameters_per_node=True,
    )
    read = deepspeed.DeepSpeedConfig(deepspeed_config(zero, 1)).zero_config
    assert read.offload_optimizer.device == "nvme"
    assert str(read.offload_optimizer.nvme_path) == "/disk"
    assert read.offload_param.device == "cpu"
    assert read.offload_param.nvme_path is None
    assert read.zero_hpz_partition_size == 8


def test_a_buffer_for_parameters_on_disk_holds_a_ranks_part_of_the_largest() -> None:
    config = a_config(stage=3, offload_parameters=Offload.nvme, nvme_path="/disk")
    config.model.shape.vocab_size, config.model.shape.hidden_size = 128_256, 16_384
    found = deepspeed_config(config, 1)["zero_optimization"]["offload_param"]
    assert found["buffer_size"] * 8 >= 128_256 * 16_384


@pytest.mark.parametrize(
    ("zero", "cluster", "key", "says"),
    [
        ({"stage": 4}, {}, "deepspeed.stage", "choose 0 to 3"),
        ({"stage": 0, "offload_optimizer": Offload.cpu}, {}, "offload_optimizer", "stage=1"),
        (
            {"stage": 2, "offload_optimizer": Offload.nvme, "nvme_path": "/disk"},
            {},
            "offload_optimizer",
            "stage=3",
        ),
        ({"stage": 2, "offload_parameters": Offload.cpu}, {}, "offload_parameters", "stage=3"),
        ({"stage": 3, "offload_parameters": Offload.nvme}, {}, "nvme_path", "local disk"),
        ({"stage": 2, "parameters_per_node": True}, {}, "parameters_per_node", "stage=3"),
        ({"stage": 3, "parameters_per_node": True}, {}, "parameters_per_node", "turn it off"),
        ({"sequence_ranks": 3}, {"ranks_per_node": 4}, "sequence_ranks", "divisor"),
        ({"sequence_ranks": 8}, {"ranks_per_node": 8}, "sequence_ranks", "4 query"),
        ({"sequence_ranks": 0}, {}, "sequence_ranks", "at least 1"),
    ],
)
def test_what_cannot_be_divided_is_refused(
    zero: dict[str, Any], cluster: dict[str, Any], key: str, says: str
) -> None:
    problems = DeepSpeedConfig(**zero).problems(ClusterConfig(**cluster), SHAPE)
    assert len(problems) == 1
    assert problems[0].key.endswith(key)
    assert says in f"{problems[0].fault}; {problems[0].remedy}"


@pytest.mark.parametrize(
    ("fields", "key", "says"),
    [
        ({"compile": True, "deepspeed": DeepSpeedConfig(stage=3)}, "compile", "stage=2"),
        (
            {"precision": Precision.bf16_states, "deepspeed": DeepSpeedConfig(stage=0)},
            "precision",
            "1, 2 or 3",
        ),
    ],
)
def test_engine_keys_that_exclude_each_other(fields: dict[str, Any], key: str, says: str) -> None:
    config = SFTConfig(**fields)
    config.batch.tokens = 65_536
    found = {problem.key: problem for problem in config.problems()}
    assert says in found[key].remedy


def test_a_disk_that_cannot_be_used_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load_op", lambda builder: False)
    zero = DeepSpeedConfig(stage=3, offload_optimizer=Offload.nvme, nvme_path="/disk")
    with pytest.raises(UserError, match=r"nvme_path = /disk: .*libaio"):
        load_offload_op(zero)
    load_offload_op(dataclasses.replace(zero, offload_optimizer=Offload.cpu))


def test_weight_decay_spares_norms() -> None:
    made = engine.build_optimizer(a_model().named_parameters(), OptimizerConfig(weight_decay=0.1))
    decayed, spared = made.param_groups
    assert all(parameter.dim() == 2 for parameter in decayed["params"])
    assert all(parameter.dim() == 1 for parameter in spared["params"])
    assert spared["weight_decay"] == 0.0
    assert decayed["fused"]


def steps_that_are_not_finite(cases: Sequence[Case]) -> list[tuple[bool, bool]]:
    """For each case whether the step was made, and whether the weights are what they were."""
    world = World.from_env()
    engine.start_ranks(world)
    found = []
    for case in cases:
        made = an_engine(case, world, accumulation=1)
        before = weights_of(made, case)
        # Only one rank has it: the others must leave the step out too.
        poison = torch.inf if world.rank == 1 else 1.0
        nll = nll_sum(made, Batch.of(some_rows()[world.rank :: world.size], made.device))
        engine.backward(made, nll * poison, 1, world)
        made.step()
        same = bool(torch.equal(before, weights_of(made, case)))
        found.append((made.was_step_applied(), same))
        made.destroy()
    return found


def clipped_steps(cases: Sequence[Case]) -> list[tuple[float, float]]:
    """For each case the norm that is told, and that of the mean that Adam then has."""
    world = World.from_env()
    engine.start_ranks(world)
    found = []
    for case in cases:
        made = an_engine(case, world, accumulation=1)
        rows = some_rows()
        nll = nll_sum(made, Batch.of(rows[world.rank :: world.size], made.device))
        engine.backward(made, nll, sum(row.num_supervised for row in rows), world)
        made.step()
        norm = float(made.get_global_grad_norm())
        states = made.basic_optimizer.state.values()
        squares = world.sum(sum(state["exp_avg"].square().sum() for state in states))
        copies = world.size if case.stage == 0 else 1
        found.append((norm, float((squares / copies).sqrt())))
        made.destroy()
    return found


def test_every_stage_tells_the_norm_and_clips_by_it() -> None:
    """Of the first step Adam's mean is a tenth of the gradient that it was given."""
    free = [Case(stage) for stage in (0, 1, 2, 3)]
    clipped = [dataclasses.replace(case, max_grad_norm=0.5) for case in free]
    for found in run_ranks(2, clipped_steps, [*free, *clipped]):
        norms, means = zip(*found, strict=True)
        assert norms == pytest.approx([norms[0]] * 8, rel=1e-5)
        assert norms[0] > 0.5
        assert means[:4] == pytest.approx([means[0]] * 4, rel=1e-5)
        assert means[4:] == pytest.approx([means[0] * 0.5 / norms[0]] * 4, rel=1e-4)


def weights_of(made: Any, case: Case) -> torch.Tensor:
    parameters = list(made.module.parameters())
    with deepspeed.zero.GatheredParameters(parameters, enabled=case.stage == 3):
        return torch.cat([parameter.detach().float().flatten() for parameter in parameters])


def trained(cases: Sequence[Case]) -> list[tuple[list[float], list[float]]]:
    """For each case the norms of five steps, and the weights after them."""
    world = World.from_env()
    engine.start_ranks(world)
    rows, found = some_rows(), []
    for case in cases:
        made, norms = an_engine(case, world, accumulation=1), []
        for step in range(5):
            own = rows[step + world.rank :: 2 * world.size]
            nll = nll_sum(made, Batch.of(own, made.device))
            engine.backward(made, nll, 100, world)
            made.step()
            norms.append(float(made.get_global_grad_norm()))
        found.append((norms, weights_of(made, case).tolist()))
        made.destroy()
    return found


def test_in_bf16_zero_2_and_3_clip_alike_to_the_last_bit() -> None:
    """One digit less of the norm, and losses of SmolLM2 are 4e-3 apart within 20 steps."""
    cases = [Case(stage, precision=Precision.bf16, max_grad_norm=0.5) for stage in (2, 3)]
    for found in run_ranks(2, trained, cases):
        (norms, weights), (other_norms, other_weights) = found
        assert min(norms) > 0.5
        assert norms == pytest.approx(other_norms, rel=1e-12)
        assert weights == other_weights


NONFINITE = [
    Case(stage, precision=precision)
    for stage in (0, 1, 2, 3)
    for precision in (Precision.bf16, Precision.fp32)
]


def test_a_gradient_that_is_not_finite_changes_no_weight() -> None:
    for found in run_ranks(2, steps_that_are_not_finite, NONFINITE):
        assert dict(zip(NONFINITE, found, strict=True)) == dict.fromkeys(NONFINITE, (False, True))
