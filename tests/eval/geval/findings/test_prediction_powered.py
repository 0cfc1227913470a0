"""What a person's ratings say of all items: the mean is right on average, the interval covers."""

from __future__ import annotations

import numpy as np
import pytest

from eval.geval.findings.prediction_powered import prediction_powered_mean


def test_a_hand_computed_case() -> None:
    judge = {"a": 1.0, "b": 0.0, "c": 0.5, "d": None, "e": 0.5}
    human = {"a": 0.0, "b": 0.5, "c": 1.0}
    found = prediction_powered_mean(judge, human, drawn={"b", "c"})
    # "a" was chosen and counts as it is; b and c say that the judge is 0.5 too low on the other
    # four, of which "d" counts as the mean of the scores.
    assert found is not None
    assert found.value == pytest.approx((0.0 + (0.0 + 0.5 + 0.5 + 0.5) + 4 * 0.5) / 5)
    assert found.low < found.value < found.high


def test_everything_rated_is_the_plain_mean() -> None:
    judge = {name: 1.0 for name in "abcd"}
    human = {"a": 0.0, "b": 0.25, "c": 0.5, "d": 0.75}
    found = prediction_powered_mean(judge, human, drawn=set("abcd"))
    assert found is not None
    assert found.value == pytest.approx(0.375)


def test_too_few_say_nothing() -> None:
    judge: dict[str, float | None] = {"a": 1.0, "b": 0.5}
    assert prediction_powered_mean(judge, {}, set()) is None
    assert prediction_powered_mean(judge, {"a": 1.0}, {"a"}) is None
    assert prediction_powered_mean(judge, {"a": 1.0, "b": 0.0}, {"a"}) is None
    assert prediction_powered_mean({"a": None, "b": None}, {"a": 1.0, "b": 0.0}, {"a", "b"}) is None


@pytest.mark.parametrize("chosen", [0, 15])
def test_a_biased_judge_does_not_move_the_mean(chosen: int) -> None:
    """A judge that is 0.2 too kind, and worse where it is unsure; 600 made-up runs."""
    random = np.random.default_rng(7)
    truth, covered, widths = 0.5, 0, []
    means = []
    for _ in range(600):
        human = random.uniform(0, 1, 100)
        doubt = random.uniform(0, 0.3, 100)
        judge = human + 0.2 + doubt * random.choice([-1, 2], 100)
        first = set(np.argsort(-doubt)[:chosen].tolist())
        drawn = set(random.permutation([n for n in range(100) if n not in first])[:25].tolist())
        found = prediction_powered_mean(
            {n: float(judge[n]) for n in range(100)},
            {n: float(human[n]) for n in first | drawn},
            drawn=drawn,
        )
        assert found is not None
        means.append(found.value)
        covered += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    assert np.mean(means) == pytest.approx(truth, abs=0.01)
    assert 0.925 <= covered / 600 <= 0.99
    plain = 2 * 2.06 * (1 / 12 / 25) ** 0.5
    assert np.mean(widths) < plain, "narrower than the 25 ratings by themselves"
