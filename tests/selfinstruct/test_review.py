from __future__ import annotations

from pacos.review.items import Drawn, Rating
from pacos.schemas import Row
from selfinstruct.review import APPROVED, REJECTED, findings, row_items


def rows(qualities: list[int | None]) -> list[Row]:
    return [
        Row(
            id=f"r{n}",
            instruction="비를 짧게 설명해 주세요." if n % 2 else "Explain rain in a few words.",
            input="" if n else "rain",
            output="It falls." if n % 2 == 0 else "하늘에서 내립니다.",
            lineage={} if quality is None else {"quality": quality},
        )
        for n, quality in enumerate(qualities)
    ]


def test_the_judges_worst_rows_come_first() -> None:
    items = row_items(rows([9, 6, 8, 7, 10, 6]), seed=1)
    assert [item.drawn for item in items[:4]] == [Drawn.chosen, Drawn.random] * 2
    assert items[0].id in ("r1", "r5")
    korean = next(item for item in items if item.id == "r1")
    assert korean.lang == "ko"
    assert [heading for heading, _ in korean.sections] == ["지시", "출력"]
    english = next(item for item in items if item.id == "r0")
    assert [text for _, text in english.sections] == [
        *("Explain rain in a few words.", "rain", "It falls.")
    ]


def test_without_a_judge_all_are_shown_by_chance() -> None:
    assert {item.drawn for item in row_items(rows([None] * 5), seed=1)} == {Drawn.random}


def test_the_share_of_good_rows_is_that_of_rows_by_chance() -> None:
    ratings = [
        Rating("r0", "row", REJECTED, "false", Drawn.chosen),
        Rating("r1", "row", APPROVED, "", Drawn.random),
        Rating("r2", "row", APPROVED, "", Drawn.random),
        Rating("r3", "row", REJECTED, "unclear", Drawn.random),
    ]
    found = findings(ratings)
    assert (found["rated"], found["by_chance"]) == (4, 3)
    assert round(found["approved_by_chance"]["share"], 3) == 0.667
    assert found["approved_by_chance"]["low"] < 0.667 < found["approved_by_chance"]["high"]
    assert found["rejected"] == [
        {"id": "r0", "reason": "false"},
        {"id": "r3", "reason": "unclear"},
    ]
    assert findings([])["approved_by_chance"] is None
