"""Checkpoints: a run that was cut is the straight run, on the same ranks or on others."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from sft.engine_config import Offload
from sft.model_config import Precision
from tests.sft.checkpoint_lives import LAST, Life, Told, kept, kept_and_true, live
from tests.sft.engines import Case
from tests.sft.ranks import run_ranks

FP32, BF16, STATES = Precision.fp32, Precision.bf16, Precision.bf16_states
OFFLOAD = {"offload_optimizer": Offload.cpu}


def case(stage: int, precision: Precision = FP32, **more: Any) -> Case:
    return Case(stage, precision=precision, max_grad_norm=1.0, **more)


def assert_same_bits(one: Path, other: Path) -> None:
    left, right = kept(one), kept(other)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def distance(one: Path, other: Path) -> float:
    """The largest relative difference between two runs' weights, parameter by parameter."""
    left, right = kept(one), kept(other)
    return max(
        float((left[name] - right[name]).norm() / right[name].norm())
        for name in right
        if name[0] == "weight"
    )


def cut(folder: Path, case: Case, *ends: int) -> list[Life]:
    return [Life(folder, case, end) for end in (*ends, LAST)]


EXACT = [case(2), case(3, BF16)]
ALSO_EXACT = [
    *(case(stage, precision) for stage in (0, 1, 2, 3) for precision in (FP32, BF16)),
    *(case(stage, STATES) for stage in (1, 2, 3)),
    case(2, BF16, zero=OFFLOAD),
    case(3, BF16, zero=OFFLOAD | {"offload_parameters": Offload.cpu}),
    case(2, BF16, zero={"sequence_ranks": 2}),
    case(3, micro_packs=2),
]


def assert_exact(tmp_path: Path, cases: list[Case]) -> None:
    lives, places = [], []
    for number, each in enumerate(cases):
        folders = [tmp_path / f"{number}-{name}" for name in ("straight", "cut")]
        lives += cut(folders[0], each) + cut(folders[1], each, 1, 4, 7)
        places.append(folders)
    told = iter(run_ranks(2, live, lives)[0])
    for each, (straight, pieces) in zip(cases, places, strict=True):
        expected: Told = next(told)
        found = [step for _ in range(4) for step in next(told)]
        assert found == expected, each
        assert_same_bits(pieces, straight)


def test_a_run_cut_three_times_is_the_straight_run_bit_for_bit(tmp_path: Path) -> None:
    assert_exact(tmp_path, EXACT)


@pytest.mark.slow
def test_so_it_is_under_every_stage_precision_and_offload(tmp_path: Path) -> None:
    assert_exact(tmp_path, ALSO_EXACT)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_what_is_kept_is_what_deepspeed_has(tmp_path: Path, stage: int) -> None:
    assert run_ranks(2, kept_and_true, Life(tmp_path, case(stage, BF16), 1)) == [[], []]


def test_ranks_may_change(tmp_path: Path) -> None:
    """2, 4, then 1, each time under ZeRO-2, in fp32."""
    straight, elastic = tmp_path / "straight", tmp_path / "elastic"
    expected = run_ranks(2, live, cut(straight, case(2)))[0][0]
    found: Told = []
    for ranks, until in ((2, 2), (4, 5), (1, LAST)):
        found += run_ranks(ranks, live, [Life(elastic, case(2), until)])[0][0]
    assert found == [pytest.approx(step, rel=1e-6) for step in expected]
    assert distance(elastic, straight) < 1e-6


def test_the_stage_may_change(tmp_path: Path) -> None:
    """From every stage to every other, in fp32 over 2 ranks."""
    straight = tmp_path / "straight"
    lives = cut(straight, case(0))
    pairs = list(itertools.permutations(range(4), 2))
    for before, after in pairs:
        folder = tmp_path / f"{before}{after}"
        lives += [Life(folder, case(before), 3), Life(folder, case(after, micro_packs=2), LAST)]
    expected, *told = run_ranks(2, live, lives)[0]
    for number, (before, after) in enumerate(pairs):
        found = told[2 * number] + told[2 * number + 1]
        losses = [[loss for loss, _ in steps] for steps in (found, expected)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5), (before, after)
        assert distance(tmp_path / f"{before}{after}", straight) < 1e-5, (before, after)
