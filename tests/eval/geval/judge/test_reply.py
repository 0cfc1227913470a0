from __future__ import annotations

import pytest

from eval.geval.judge.reply import ParsedScore, Preference, parse_preference, parse_score
from eval.rubrics.rubric import Criterion

COHERENCE = Criterion("coherence", "Coherence", "…", 1, 5)
KOREAN = Criterion("fluency", "유창성", "…", 1, 5)

STRICT = ["4", " 4", "4.", "4\n", "- Coherence: 4", "Coherence: 4", "**4**", "*4*", "• 4"]
LENIENT = [
    "4/5",
    "4 out of 5",
    "4 - the order is clear",
    "4\nIt would have been 5 with 2-3 more words.",
    "4\n- Fluency: 2",
    "- Coherence: 4\n- Fluency: 2\n- Relevance: 3",
    "Score: 4",
    'The summary is fine.\n{"score": 4, "of": "all"}',
    "I would give it a score of 4.",
    "On a scale of 1-5, I rate it 4.",
    "On a scale from 1 to 5 this is a 4",
    "The summary has 3 sentences. Coherence (1-5): 4",
    "Rating is **4**, although 2 facts are missing.",
    "It deserves 4.",
]
KOREAN_REPLIES = [
    "4점",
    "유창성: 4",
    "5점 만점에 4점",
    "1점에서 5점까지 가운데 4점입니다",
    "점수는 4점",
]
NO_SCORE = [
    "",
    "I cannot judge this.",
    "six",
    "6",
    "0",
    "44",
    "10",
    "1-5",
    "4 to 5",
    "between 3 and 4",
    "4 out of 10",
    "4/7",
    "On a scale of 1-10 it is a 4.",
    "1. Read the text.\n2. Look for the order.",
    "It gets 2 facts wrong.",
    "It has 7 words.",
]


@pytest.mark.parametrize("reply", STRICT)
def test_the_form_filled_in(reply: str) -> None:
    assert parse_score(reply, COHERENCE) == ParsedScore(4.0, reply.index("4"), True)


@pytest.mark.parametrize("reply", LENIENT)
def test_a_score_among_words(reply: str) -> None:
    assert parse_score(reply, COHERENCE) == ParsedScore(4.0, reply.index("4"), False)


@pytest.mark.parametrize("reply", KOREAN_REPLIES)
def test_korean(reply: str) -> None:
    found = parse_score(reply, KOREAN)
    assert found is not None
    assert (found.value, found.position) == (4.0, reply.index("4"))
    assert found.is_strict == (reply in ("4점", "유창성: 4"))


@pytest.mark.parametrize("reply", NO_SCORE)
def test_what_is_no_score_is_none_and_never_0(reply: str) -> None:
    assert parse_score(reply, COHERENCE) is None


def test_a_score_between_two() -> None:
    assert parse_score("4.5", COHERENCE) == ParsedScore(4.5, 0, True)
    assert parse_score("5.5", COHERENCE) is None


@pytest.mark.parametrize(
    ("reply", "preference"),
    [
        ("1", Preference.first),
        ("2.", Preference.second),
        ("**2**", Preference.second),
        ("1\nThe first is clearer than 2.", Preference.first),
        ("Answer 2 is better.", Preference.second),
        ("[[1]]", Preference.first),
        ("tie", Preference.tie),
        ("It's a tie between 1 and 2.", Preference.tie),
        ("무승부", Preference.tie),
        ("2번이 더 낫습니다", Preference.second),
        ("neither", Preference.tie),
        ("Both 1 and 2 have merits, hm.", Preference.tie),
        ("It is better than 2.", None),
        ("I can't say.", None),
        ("12", None),
        ("", None),
    ],
)
def test_preferences(reply: str, preference: Preference | None) -> None:
    assert parse_preference(reply) is preference
