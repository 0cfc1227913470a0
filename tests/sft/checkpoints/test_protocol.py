"""Checkpoints: a run that was cut is the straight run, on the same ranks or on others."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from pacos.distributed import World
from pacos.errors import UserError
from pacos.run_paths import RunPaths
from sft.checkpoints import host_memory
from sft.checkpoints.engine_state import EngineState
from sft.checkpoints.protocol import Checkpoints
from sft.configs.compute import Precision
from sft.configs.deepspeed import Offload
from sft.configs.optimizer import OptimizerConfig
from sft.engine.deepspeed import load_offload_op, start_ranks
from tests.sft import engines
from tests.sft.checkpoints.lives import LAST, Life, Told, kept, kept_and_true, live, live_once
from tests.sft.engines import FAMILIES, Case, an_engine, config_of
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


EVERYWHERE = [
    *(case(stage, precision) for stage in (0, 1, 2, 3) for precision in (FP32, BF16)),
    *(case(stage, STATES) for stage in (1, 2, 3)),
    case(2, BF16, zero=OFFLOAD),
    case(3, BF16, zero=OFFLOAD | {"offload_parameters": Offload.cpu}),
    case(2, BF16, zero={"sequence_ranks": 2}),
    case(3, micro_packs=2),
    *(case(stage, BF16, family=family) for stage in (2, 3) for family in FAMILIES),
]


def assert_exact(tmp_path: Path, cases: list[Case], *ends: int) -> None:
    lives, places = [], []
    for number, each in enumerate(cases):
        folders = [tmp_path / f"{number}-{name}" for name in ("straight", "cut")]
        lives += cut(folders[0], each) + cut(folders[1], each, *ends)
        places.append(folders)
    for of_one_rank in run_ranks(2, live, lives):
        told = iter(of_one_rank)
        for each in cases:
            expected: Told = next(told)
            found = [step for _ in (*ends, LAST) for step in next(told)]
            assert found == expected, each
    for straight, pieces in places:
        assert_same_bits(pieces, straight)


def test_a_run_that_was_cut_is_the_straight_run_bit_for_bit(tmp_path: Path) -> None:
    assert_exact(tmp_path, [case(2), case(3, BF16), case(3, BF16, family="qwen3")], 3)


@pytest.mark.slow
def test_so_it_is_under_every_stage_precision_and_offload(tmp_path: Path) -> None:
    assert_exact(tmp_path, EVERYWHERE, 1, 4, 7)


def live_without_room(lives: list[Life]) -> list[Told]:
    """In each rank: where memory has no room for copies."""
    host_memory.available_bytes = lambda: 0
    return live(lives)


@pytest.mark.slow
def test_without_room_for_a_copy_training_waits_and_nothing_else_changes(tmp_path: Path) -> None:
    for each in (case(0), case(3, BF16)):
        straight, pieces = (tmp_path / f"{each.stage}-{name}" for name in ("straight", "cut"))
        lives = cut(straight, each) + cut(pieces, each, 3)
        whole, first, second = run_ranks(2, live_without_room, lives)[0]
        assert first + second == whole
        assert_same_bits(pieces, straight)


def test_what_is_kept_is_what_deepspeed_has(tmp_path: Path) -> None:
    lives = [Life(tmp_path / str(stage), case(stage, BF16), 1) for stage in (1, 2, 3)]
    assert run_ranks(2, kept_and_true, lives) == [[], []]


def assert_elastic(tmp_path: Path, case: Case) -> None:
    """2 ranks, 4, then 1."""
    straight, elastic = tmp_path / "straight", tmp_path / "elastic"
    expected = run_ranks(2, live, cut(straight, case))[0][0]
    found: Told = []
    for ranks, until in ((2, 2), (4, 5), (1, LAST)):
        found += run_ranks(ranks, live, [Life(elastic, case, until)])[0][0]
    assert found == [pytest.approx(step, rel=1e-6) for step in expected]
    assert distance(elastic, straight) < 1e-6


def test_the_number_of_ranks_may_change(tmp_path: Path) -> None:
    assert_elastic(tmp_path, case(2))


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 3])
def test_it_may_change_under_every_stage(tmp_path: Path, stage: int) -> None:
    assert_elastic(tmp_path, case(stage))


def assert_all_the_same(tmp_path: Path, paths: list[tuple[Case, ...]]) -> None:
    """Each run is saved and goes on under another case as often as it has; all are the first."""
    lives, folders = [], []
    for path in paths:
        folders.append(tmp_path / str(len(folders)))
        for number, each in enumerate(path, start=1):
            lives.append(Life(folders[-1], each, number * LAST // len(path)))
    told = iter(run_ranks(2, live, lives)[0])
    runs = [[step for _ in path for step in next(told)] for path in paths]
    for path, folder, found in zip(paths, folders, runs, strict=True):
        losses = [[loss for loss, *_ in steps] for steps in (found, runs[0])]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5), path
        assert distance(folder, folders[0]) < 1e-5, path


def test_the_zero_stage_and_the_accumulation_may_change(tmp_path: Path) -> None:
    path = (case(2), case(3, micro_packs=2), case(0), case(1))
    assert_all_the_same(tmp_path, [(case(0),), path])


@pytest.mark.slow
def test_from_every_stage_and_offload_to_every_other(tmp_path: Path) -> None:
    cases = [*map(case, range(4)), case(3, zero=OFFLOAD), case(1, zero={"sequence_ranks": 2})]
    assert_all_the_same(tmp_path, [(cases[0],), *itertools.permutations(cases, 2)])


def live_on_disk(lives: list[Life]) -> list[Told]:
    """In each rank: with a model large enough for DeepSpeed to put its states on a disk."""
    world = World.from_env()
    engines.SHAPE = dataclasses.replace(engines.SHAPE, hidden_size=256, intermediate_size=512)
    load_offload_op(engines.config_of(lives[0].case, world).deepspeed)
    return live(lives)


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/usr/include/libaio.h").is_file(), reason="the headers of libaio are not installed"
)
def test_states_that_wait_on_a_disk_are_kept_and_come_back(tmp_path: Path) -> None:
    away = {"offload_optimizer": Offload.nvme, "nvme_path": str(tmp_path)}
    on_disk, in_memory = case(3, BF16, zero=away), case(3, BF16)
    names = ("straight", "cut", "back")
    straight, pieces, back = (tmp_path / name for name in names)
    lives = [
        *cut(straight, on_disk),
        *cut(pieces, on_disk, 3),
        *(Life(back, on_disk, 3), Life(back, in_memory, LAST)),
    ]
    whole, first, second, third, fourth = run_ranks(2, live_on_disk, lives)[0]
    assert first + second == whole
    assert_same_bits(pieces, straight)
    # In memory DeepSpeed sums the gradient norm in fp32, beside a disk in fp64.
    assert third + fourth == [pytest.approx(step, rel=1e-6) for step in whole]


def refusals(folder: Path) -> list[str]:
    """In each rank: what is said of a checkpoint that the run cannot go on from."""
    world = World.from_env()
    start_ranks(world)
    plain, said = case(2), []
    live_once(Life(folder, plain, 1), world)
    for other, rows in (
        (plain, "other rows"),
        (dataclasses.replace(plain, max_grad_norm=2.0), "some rows"),
    ):
        engine = an_engine(other, world, 2)
        before = [
            tensor.clone()
            for tensor in EngineState(engine, world, OptimizerConfig().STATES).tensors()
        ]
        checkpoints = Checkpoints(RunPaths(folder), config_of(other, world), engine, rows, world)
        with pytest.raises(UserError) as caught:
            checkpoints.load_newest(LAST)
        said.append(str(caught.value))
        after = EngineState(engine, world, OptimizerConfig().STATES).tensors()
        assert all(map(torch.equal, before, after))
    return said


def test_other_rows_and_other_runs_are_refused(tmp_path: Path) -> None:
    for rows, run in run_ranks(2, refusals, tmp_path):
        assert "the rows differ from those that" in rows
        assert "restore the files" in rows
        assert "belongs to a run with another config" in run
