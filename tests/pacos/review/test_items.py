from __future__ import annotations

from pathlib import Path

import pytest

from pacos.files import read_jsonl
from pacos.review.items import Drawn, Rating, Ratings, interleaved, queue

RATING = Rating("a", "q", 4.0, "", Drawn.random)


def test_ratings_are_on_the_disk_one_by_one_and_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    ratings = Ratings(path)
    ratings.add(RATING)
    ratings.add(Rating("b", "q", "tie", "why", Drawn.chosen))
    ratings.add(Rating("a", "q", 2.0, "", Drawn.random))
    assert len(list(read_jsonl(path))) == 3
    with path.open("a") as file:
        file.write('{"item": "torn')
    again = Ratings(path)
    assert again.all() == [
        Rating("a", "q", 2.0, "", Drawn.random),
        Rating("b", "q", "tie", "why", Drawn.chosen),
    ]
    again.add(RATING)
    assert len(list(read_jsonl(path))) == 4, "a torn line is cut off"


def test_every_second_is_by_chance_and_the_others_the_most_doubtful() -> None:
    units = [f"u{n}" for n in range(20)]
    doubts = {"u3": 0.5, "u7": 9.0, "u11": 0.1}
    found = queue(units, str, lambda unit: doubts.get(unit, 0.0), seed=1)
    assert sorted(unit for unit, _ in found) == sorted(units)
    chosen = [unit for unit, drawn in found if drawn is Drawn.chosen]
    assert chosen == sorted(chosen, key=lambda unit: -doubts[unit])
    assert found[0] == ("u7", Drawn.chosen)
    assert found[1][1] is Drawn.random
    assert found == queue(units[::-1], str, lambda unit: doubts.get(unit, 0.0), seed=1)
    assert found != queue(units, str, lambda unit: doubts.get(unit, 0.0), seed=2)


def test_the_order_by_chance_knows_nothing_of_doubt() -> None:
    units = [f"u{n}" for n in range(30)]
    plain = [unit for unit, _ in queue(units, str, lambda unit: 0.0, seed=5)]
    doubtful = queue(units, str, lambda unit: 1.0 if unit == plain[0] else 0.0, seed=5)
    by_chance = [unit for unit, drawn in doubtful if drawn is Drawn.random]
    assert by_chance == plain[1:]


@pytest.mark.parametrize(
    ("queues", "one"),
    [([[1, 3], [2]], [1, 2, 3]), ([[], [1]], [1]), ([], [])],
)
def test_weaving(queues: list[list[int]], one: list[int]) -> None:
    assert interleaved(queues) == one
