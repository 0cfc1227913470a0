import numpy as np
import pytest

from sft.steps.packing import Ints, pack_rows


def lengths(count: int, longest: int, seed: int = 0) -> Ints:
    return np.random.default_rng(seed).integers(1, longest, count, endpoint=True)


def one_by_one(rows: list[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing as it is defined: of packs equally full the oldest takes the row."""
    packs: list[list[int]] = []
    for row in sorted(range(len(rows)), key=lambda index: (-rows[index], index)):
        rooms = [
            (capacity - sum(rows[other] for other in pack), number)
            for number, pack in enumerate(packs)
        ]
        fitting = [(room, number) for room, number in rooms if room >= rows[row]]
        if fitting:
            packs[min(fitting)[1]].append(row)
        else:
            packs.append([row])
    return packs


@pytest.mark.parametrize("seed", range(40))
def test_packs_are_those_of_best_fit_decreasing(seed: int) -> None:
    capacity = 1 + 7 * seed
    rows = lengths(150, max(1, capacity // (1 + seed % 4)), seed)
    packs = pack_rows(rows, capacity)
    assert [packs[n].tolist() for n in range(len(packs))] == one_by_one(rows.tolist(), capacity)


@pytest.mark.parametrize(("count", "longest", "capacity"), [(1, 5, 5), (5000, 90, 100), (64, 7, 7)])
def test_every_row_is_in_one_pack_that_holds_it(count: int, longest: int, capacity: int) -> None:
    rows = lengths(count, longest)
    packs = pack_rows(rows, capacity)
    assert sorted(packs.rows.tolist()) == list(range(count))
    assert packs.sums(rows).max() <= capacity
    assert packs.sums(rows).sum() == rows.sum()


def test_short_rows_leave_no_gaps() -> None:
    rows = lengths(5000, 300)
    assert len(pack_rows(rows, 2048)) == -(-rows.sum() // 2048)


def test_a_million_rows_are_packed() -> None:
    rows = np.random.default_rng(0).lognormal(4.5, 0.7, 1_000_000).astype(np.int64).clip(20, 2048)
    packs = pack_rows(rows, 2048)
    assert packs.sums(rows).max() <= 2048
    assert rows.sum() / (len(packs) * 2048) > 0.995
