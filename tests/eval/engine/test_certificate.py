from typing import Any

import pytest

from eval.engine.certificate import MAX_ITEMS, sample_items
from eval.lm_eval_api import Instance


def requests(items: int) -> list[Any]:
    """Two choices an item."""
    return [
        Instance("loglikelihood", {}, ("", ""), choice, ("task", item, 1))
        for item in range(items)
        for choice in range(2)
    ]


@pytest.mark.parametrize(
    ("items", "again"), [(1, 1), (8, 1), (40, 2), (228, 4), (1000, 10), (14042, MAX_ITEMS)]
)
def test_a_quick_look_stays_quick(items: int, again: int) -> None:
    """What is computed again costs up to six times as much: few items of a few."""
    drawn = sample_items(requests(items), seed=3)
    assert len(drawn) == again
    assert all(numbers == [2 * (numbers[0] // 2), numbers[0] + 1] for numbers in drawn)
    assert drawn == sample_items(requests(items), seed=3)
