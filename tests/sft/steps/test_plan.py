from typing import Any

import numpy as np
import pytest

from pacos.errors import UserError
from pacos.model.shape import ModelShape
from sft.configs.batch import BatchConfig, Layout
from sft.steps.packing import Ints
from sft.steps.plan import StepPlan, row_costs

SHAPE = ModelShape()


def lengths(count: int, longest: int) -> Ints:
    return np.random.default_rng(0).integers(1, longest, count, endpoint=True)


def plan_of(given: Ints, capacity: int, **batch: Any) -> StepPlan:
    return StepPlan.of(given, capacity, BatchConfig(**batch), SHAPE)


@pytest.mark.parametrize("layout", Layout)
def test_an_epoch_is_every_row_once_in_another_order(layout: Layout) -> None:
    plan = plan_of(lengths(400, 100), 256, tokens=1024, layout=layout)
    epochs = [
        np.concatenate([plan.step(7, epoch, n) for n in range(plan.steps_per_epoch)])
        for epoch in (0, 1)
    ]
    for epoch in epochs:
        assert sorted(plan.rows(epoch)) == list(range(400))
    assert epochs[0].tolist() != epochs[1].tolist()
    assert plan.step(7, 0, 2).tolist() == plan.step(7, 0, 2).tolist()


@pytest.mark.parametrize("layout", Layout)
def test_steps_hold_at_most_the_batch_on_average_and_differ_by_one_pack(layout: Layout) -> None:
    rows = lengths(1000, 100)
    for batch in ({"rows": 48}, {"tokens": 2560}):
        plan = plan_of(rows, 256, layout=layout, **batch)
        sizes = [len(plan.step(0, 0, n)) for n in range(plan.steps_per_epoch)]
        assert max(sizes) - min(sizes) <= 1
        assert len(rows) / plan.steps_per_epoch <= batch.get("rows", 1000)
        assert rows.sum() / plan.steps_per_epoch <= batch.get("tokens", 256_000)
        assert (plan.steps_per_epoch - 1) * batch.get("rows", 0) < len(rows)


def test_a_step_of_so_many_tokens_is_never_more_packs_than_they_fill() -> None:
    """One pack more on one rank would make every rank run another pass."""
    plan = plan_of(lengths(3000, 100), 256, tokens=256 * 16)
    assert max(len(plan.step(0, 0, n)) for n in range(plan.steps_per_epoch)) <= 16
    assert plan.passes(ranks=8) == 2


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("ranks", [1, 2, 3, 8, 50])
@pytest.mark.parametrize("micro_packs", [1, 3])
def test_ranks_divide_a_step_whole(layout: Layout, ranks: int, micro_packs: int) -> None:
    plan = plan_of(lengths(300, 100), 128, tokens=1280, layout=layout, micro_packs=micro_packs)
    for index in range(plan.steps_per_epoch):
        step = plan.step(0, 0, index)
        shares = plan.divide(step, ranks)
        assert len(shares) == ranks
        passes = [packs for share in shares for packs in share]
        assert sorted(np.concatenate(passes)) == sorted(step)
        assert max(map(len, passes)) <= micro_packs
        assert {len(share) for share in shares} == {plan.passes(ranks)}


def test_work_is_balanced_where_packs_can_be_divided_evenly() -> None:
    rows = np.random.default_rng(1).lognormal(4.5, 0.7, 20_000).astype(np.int64).clip(20, 2048)
    plan = plan_of(rows, 2048, tokens=2048 * 80)
    step = plan.step(0, 0, 0)[:64]
    work = [plan.costs[np.concatenate(share)].sum() for share in plan.divide(step, 8)]
    assert max(work) / np.mean(work) < 1.001


def test_rows_that_go_through_together_are_of_like_length_when_grouped() -> None:
    rows = lengths(512, 1000)
    waste = {}
    for layout in (Layout.grouped, Layout.padded):
        plan = plan_of(rows, 1000, rows=128, layout=layout, micro_packs=4)
        passes = [
            rows[plan.rows(packs)]
            for index in range(plan.steps_per_epoch)
            for share in plan.divide(plan.step(0, 0, index), 8)
            for packs in share
        ]
        padded = sum(int(one.max()) * len(one) for one in passes)
        waste[layout] = padded / rows.sum() - 1
    assert waste[Layout.padded] > 0.4
    assert waste[Layout.grouped] < 0.05


def test_the_cost_of_a_row_is_linear_in_its_length_and_a_causal_square() -> None:
    costs = row_costs(np.array([1, 2, 4]), SHAPE)
    linear, full = SHAPE.training_flops(1, 0), SHAPE.training_flops(0, 1)
    assert costs == pytest.approx([n * linear + n * n * full / 2 for n in (1, 2, 4)])


def test_a_data_set_smaller_than_a_step_is_one_step() -> None:
    plan = plan_of(np.array([5, 6]), 128, tokens=4096)
    assert plan.steps_per_epoch == 1
    assert plan.passes(ranks=2) == 1
    assert sorted(map(len, plan.divide(plan.step(0, 0, 0), 2))) == [1, 1]


def test_a_step_of_fewer_rows_than_a_pack_holds_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch.rows = 4: less than the 64 rows that one pack"):
        plan_of(np.full(640, 2), 128, rows=4)


def test_a_step_of_fewer_tokens_than_a_row_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch.tokens = 4: less than the 16 tokens"):
        plan_of(np.full(640, 16), 128, tokens=4, layout=Layout.grouped)


def test_the_summary_tells_size_fullness_and_balance() -> None:
    rows = lengths(4000, 100)
    text = plan_of(rows, 256, tokens=4096).summary(rows, seed=0, ranks=8)
    assert f"4,000 rows, {rows.sum():,} tokens" in text
    assert "% full" in text
    assert "the busiest of 8 ranks" in text
    assert "full" not in plan_of(rows, 256, tokens=4096, layout=Layout.padded).summary(rows, 0, 8)
