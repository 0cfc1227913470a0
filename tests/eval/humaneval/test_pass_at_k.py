from itertools import combinations
from math import comb

import pytest

from eval.humaneval.pass_at_k import interval, pass_at_k


@pytest.mark.parametrize("samples", [1, 5, 12])
def test_it_is_the_share_of_draws_that_have_a_right_answer(samples: int) -> None:
    for right in range(samples + 1):
        for k in range(1, samples + 1):
            draws = list(combinations(range(samples), k))
            hits = sum(any(answer < right for answer in draw) for draw in draws)
            assert pass_at_k(samples, right, k) == pytest.approx(hits / len(draws), abs=1e-12)


@pytest.mark.parametrize(("right", "k"), [(0, 1), (1, 100), (7, 10), (150, 100), (200, 1)])
def test_it_is_exact_for_as_many_answers_as_the_paper_draws(right: int, k: int) -> None:
    exact = 1 - comb(200 - right, k) / comb(200, k)
    assert pass_at_k(200, right, k) == pytest.approx(exact, rel=1e-12)


def test_the_interval_holds_the_mean_and_is_drawn_by_the_seed() -> None:
    values = [0.0] * 120 + [1.0] * 44
    low, high = interval(values, "pass@1", 42)
    # Binomial: 0.268 ± 1.96 · 0.0346.
    assert (low, high) == (pytest.approx(0.2005, abs=0.01), pytest.approx(0.336, abs=0.01))
    assert interval(values, "pass@1", 42) == (low, high)
    assert interval([1.0] * 9, "pass@1", 42) == (1.0, 1.0)
