"""The gradient of a step does not depend on how it is divided: real ranks, the real engine.

Reference is the padded batch of all rows through the plain model in fp64. The engine runs in fp32,
whose rounding alone makes 2e-7.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from sft.configs.compute import ActivationCheckpointing, Precision
from sft.configs.deepspeed import Offload
from tests.sft.engines import FAMILIES, Case, differences
from tests.sft.ranks import run_ranks

TOLERANCE = 1e-6
ROUNDING_BF16 = 0.03
"""Relative difference of gradients that bf16 makes in a model of two layers."""

QUICK = [
    Case(0, micro_packs=2),
    Case(1),
    Case(2),
    Case(2, micro_packs=2, packed=False),
    Case(2, zero={"sequence_ranks": 2}),
    Case(3, checkpointing=ActivationCheckpointing.full),
    Case(3, zero={"offload_optimizer": Offload.cpu, "offload_parameters": Offload.cpu}),
]

CELLS = [
    Case(2, micro_packs=2),
    Case(3, zero={"sequence_ranks": 2}, checkpointing=ActivationCheckpointing.selective),
]

GRID = [
    Case(stage, micro_packs=micro_packs, packed=packed)
    for stage, micro_packs, packed in itertools.product((0, 1, 2, 3), (1, 2, 4), (True, False))
]

OPTIONS = [
    *(Case(stage, checkpointing=kind) for stage in (2, 3) for kind in ActivationCheckpointing),
    *(Case(stage, zero={"offload_optimizer": Offload.cpu}) for stage in (1, 2, 3)),
    Case(3, zero={"offload_optimizer": Offload.cpu, "offload_parameters": Offload.cpu}),
    Case(3, zero={"parameters_per_node": True}),
    *(Case(stage, zero={"sequence_ranks": 2}) for stage in (0, 1, 2, 3)),
    *(Case(stage, zero={"sequence_ranks": 4}) for stage in (2, 3)),
    Case(2, zero={"sequence_ranks": 2}, checkpointing=ActivationCheckpointing.full),
    Case(2, compile=True),
    Case(2, compile=True, checkpointing=ActivationCheckpointing.full),
]


def assert_exact(ranks: int, cases: list[Case], tolerance: float = TOLERANCE) -> None:
    told = run_ranks(ranks, differences, cases)
    losses = {loss for found in told for loss, _ in found}
    assert max(losses) - min(losses) <= 10 * tolerance * max(losses)
    for rank, found in enumerate(told):
        off = {
            case: difference
            for case, (_, difference) in zip(cases, found, strict=True)
            if not difference <= tolerance
        }
        assert not off, f"rank {rank} of {ranks}"


def test_a_step_has_one_gradient() -> None:
    assert_exact(2, QUICK)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"llama"}))
def test_so_it_has_in_every_family(family: str) -> None:
    assert_exact(2, [replace(case, family=family) for case in CELLS])


def test_bf16_makes_no_more_than_its_rounding() -> None:
    cases = [Case(stage, precision=Precision.bf16, micro_packs=2) for stage in (0, 1, 2, 3)]
    cases += [Case(stage, precision=Precision.bf16_states, micro_packs=2) for stage in (1, 2, 3)]
    waiting = {"offload_parameters": Offload.cpu}
    cases.append(Case(3, precision=Precision.bf16_states, zero=waiting))
    assert_exact(2, cases, ROUNDING_BF16)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_step_has_one_gradient_however_it_is_divided(ranks: int, family: str) -> None:
    assert_exact(ranks, [replace(case, family=family) for case in GRID])


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_option_of_the_engine_has_the_same_gradient(family: str) -> None:
    assert_exact(4, [replace(case, family=family) for case in OPTIONS])
