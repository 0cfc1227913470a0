import random

import pytest

from sft.config import BatchConfig
from sft.packing import StepPlan, divide, pack_rows


def lengths(count: int, longest: int, seed: int = 0) -> list[int]:
    draw = random.Random(seed)
    return [draw.randint(1, longest) for _ in range(count)]


@pytest.mark.parametrize(("count", "longest", "capacity"), [(1, 5, 5), (500, 90, 100), (64, 7, 64)])
def test_every_row_is_in_one_pack_that_holds_it(count: int, longest: int, capacity: int) -> None:
    rows = lengths(count, longest)
    packs = pack_rows(rows, capacity)
    assert sorted(row for pack in packs for row in pack) == list(range(count))
    assert max(sum(rows[row] for row in pack) for pack in packs) <= capacity


def test_short_rows_fill_packs_nearly_whole() -> None:
    rows = lengths(5000, 300)
    packs = pack_rows(rows, 2048)
    assert sum(rows) / (len(packs) * 2048) > 0.995


def test_an_epoch_is_every_pack_once_in_another_order() -> None:
    rows = lengths(400, 100)
    plan = StepPlan.of(rows, 256, BatchConfig(tokens=1024))
    epochs = [
        [pack for index in range(plan.steps_per_epoch) for pack in plan.step(7, epoch, index)]
        for epoch in (0, 1)
    ]
    for epoch in epochs:
        assert sorted(map(tuple, epoch)) == sorted(map(tuple, plan.packs))
    assert epochs[0] != epochs[1]


def test_steps_hold_the_batch_on_average_and_differ_by_one_pack() -> None:
    rows = lengths(1000, 100)
    plan = StepPlan.of(rows, 256, BatchConfig(rows=40))
    sizes = [len(plan.step(0, 0, index)) for index in range(plan.steps_per_epoch)]
    assert plan.steps_per_epoch == 25
    assert max(sizes) - min(sizes) <= 1


def test_ranks_share_a_step_evenly() -> None:
    rows = lengths(300, 100)
    plan = StepPlan.of(rows, 128, BatchConfig(tokens=1280))
    packs = plan.step(0, 0, 0)
    for ranks in (1, 2, 4, 8):
        given = divide(packs, rows, ranks)
        assert sorted(map(tuple, (pack for of_rank in given for pack in of_rank))) == sorted(
            map(tuple, packs)
        )
        assert max(map(len, given)) <= -(-len(packs) // ranks)
        assert max(map(len, given)) <= plan.passes(ranks, 1)


def test_a_data_set_smaller_than_a_step_is_one_step() -> None:
    plan = StepPlan.of([5, 6], 128, BatchConfig(tokens=4096))
    assert plan.steps_per_epoch == 1
    assert plan.passes(ranks=2, micro_packs=1) == 1
