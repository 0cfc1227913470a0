from __future__ import annotations

import pytest

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.filters.language import other_language_than

DROPPED = [
    ("en", Candidate("한국의 강을 말해 줘", "", "Han"), "instruction in another language"),
    (
        "en",
        Candidate("Escribe una carta para mi madre y mi padre", "", "A"),
        "instruction in another",
    ),
    (
        "en",
        Candidate("Describe a river", "", "C'est un fleuve qui passe dans la ville."),
        "output in",
    ),
    ("en", Candidate("Describe a river", "", "It is 长江 of course."), "mixes"),
    ("en", Candidate("Describe a river", "", "It is река of course."), "mixes"),
    (
        "ko",
        Candidate("Describe the river in the north of the city", "", "강"),
        "instruction in another",
    ),
    ("ko", Candidate("강을 묘사해 줘", "", "It is the longest river of the country."), "output in"),
    ("ko", Candidate("강을 묘사해 줘", "", "这条河很长，流过城市。"), "mixes"),
    ("ko", Candidate("강을 묘사해 줘", "", "강은 とても 길다."), "mixes"),
    ("ko", Candidate("강을 자세히 描写해 줘", "", "길다."), "mixes"),
]

KEPT = [
    ("en", Candidate("Translate it into Korean", "river", "강은 길고 물이 맑습니다.")),
    ("en", Candidate("Fix the mistakes", "C'est un fleuve qui passer dans la ville.", "C'est")),
    ("en", Candidate("Sort the names", "김, 박", "김민수, 박하늘")),
    ("en", Candidate("Solve it", "", "Let α and Ω be the angles; then αβ = π.")),
    ("en", Candidate("Name dishes", "", "bibimbap (비빔밥), pho, crème brûlée")),
    ("ko", Candidate("영어로 옮겨 줘", "강은 길다.", "The river is long and it is in the north.")),
    (
        "ko",
        Candidate(
            "이 글을 다듬어 줘", "the river are long in the north", "The river is long in it."
        ),
    ),
    ("ko", Candidate("에스큐엘 쿼리를 써 줘", "", "select name from the rivers where it is in x")),
    ("ko", Candidate("강의 이름을 말해 줘", "", "Mississippi")),
    ("ko", Candidate("세종의 본명을 알려 줘", "", "이도(李祹)이며, 故 태종의 아들이다.")),
    ("ko", Candidate("이 사자성어의 뜻은?", "", "溫故知新은 옛것을 익혀 새것을 안다는 뜻이다.")),
]


@pytest.mark.parametrize(("lang", "candidate", "reason"), DROPPED)
def test_another_language_is_dropped(lang: str, candidate: Candidate, reason: str) -> None:
    objection = other_language_than(lang)(candidate)
    assert objection is not None
    assert reason in objection


@pytest.mark.parametrize(("lang", "candidate"), KEPT)
def test_one_that_was_asked_for_is_kept(lang: str, candidate: Candidate) -> None:
    assert other_language_than(lang)(candidate) is None
