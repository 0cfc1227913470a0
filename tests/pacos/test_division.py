"""Rounding up, and balanced shares."""

import numpy as np
import pytest

from pacos.division import balance, ceil_div


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"),
    [(0, 3, 0), (6, 3, 2), (7, 3, 3), (10**18 + 1, 10**9, 10**9 + 1)],
)
def test_a_quotient_is_rounded_up(dividend: int, divisor: int, quotient: int) -> None:
    assert ceil_div(dividend, divisor) == quotient


def test_every_worker_gets_as_many_items_the_costliest_first() -> None:
    work = np.random.default_rng(0).random(24)
    shares = balance(work.tolist(), 4, most_each=6)
    assert sorted(item for share in shares for item in share) == list(range(24))
    for share in shares:
        assert len(share) == 6
        assert work[share].tolist() == sorted(work[share].tolist(), reverse=True)


def test_one_costly_item_outweighs_many_cheap_ones() -> None:
    assert balance([1, 1, 1, 9, 1, 1], 2) == [[3], [0, 1, 2, 4, 5]]


def test_ties_go_to_the_first_item_and_the_first_worker() -> None:
    assert balance([5, 5, 5, 5], 3) == [[0, 3], [1], [2]]
