"""How varied instructions are, and what they ask for."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import pytest

from selfinstruct.dataset.diversity import SEGMENT, distinct, diversity, verb_objects
from selfinstruct.dataset.verb_objects import english, korean

needs_kiwi = pytest.mark.skipif(
    importlib.util.find_spec("kiwipiepy") is None, reason="the extra ko is not installed"
)


@pytest.mark.parametrize(
    ("instruction", "pair"),
    [
        ("Write a short, funny story about an alpaca.", ("write", "story")),
        ("Could you please list the three largest moons of Jupiter?", ("list", "moon")),
        ("Given a sentence, remove its references to time.", ("remove", "reference")),
        ("I moved last week. Draft me a letter for the landlord.", ("draft", "letter")),
        ("Come up with five slogans for a bakery", ("come", "slogan")),
        ("Generate a set of questions on tides.", ("generate", "question")),
        ("Describe the company's biggest rival.", ("describe", "rival")),
        ("Compare and contrast kangaroos and koalas.", ("compare", "kangaroo")),
        ("Re-write the following sentence as a question.", ("rewrite", "sentence")),
        ("1. Name two movies, then explain why you like them.", ("name", "movie")),
        ("Describe the risk factors associated with smoking.", ("describe", "factor")),
        ("Name three tools a plumber uses.", ("name", "tool")),
        ("Briefly summarise the family’s history", ("summarise", "history")),
        ("What is the capital of Peru?", None),
        ("Explain why the sky is blue.", None),
        ("Tomato seedlings, pale, flopping over. Worth saving?", None),
        ("", None),
    ],
)
def test_verb_and_object_in_english(instruction: str, pair: tuple[str, str] | None) -> None:
    assert english.verb_object(instruction) == pair


def test_most_imperatives_have_a_verb_and_an_object(shared_data: Path) -> None:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    instructions = [row["instruction"] for row in rows]
    found = verb_objects(instructions, "en")
    assert found.found > 0.8 * len(instructions)
    assert found.same_pair is not None
    assert 0.002 < found.same_pair < 0.003
    assert [verb.verb for verb in found.verbs[:3]] == ["generate", "create", "write"]
    assert ("sentence", 93) in next(one for one in found.verbs if one.verb == "rewrite").nouns


@pytest.mark.parametrize(
    ("instruction", "pair"),
    [
        ("다음 문장을 요약하시오.", ("요약하다", "문장")),
        ("할머니 앞치마에 대한 시를 써 줘. 열두 줄로.", ("쓰다", "시")),
        ("글을 읽은 학생이 풀 OX 문제 세 개를 내 주세요.", ("내다", "문제")),
        ("변수를 가르쳐요. 오해를 바로잡는 짧은 활동을 제안해 주세요.", ("제안하다", "활동")),
        ("감사패에 새길 후보를 세 개만 골라 주세요.", ("고르다", "후보")),
        ("아이들의 질문들을 정리해 주시겠어요?", ("정리하다", "질문")),
        ("읽어 줄 도깨비 이야기를 지어 줘.", ("짓다", "이야기")),
        ("한 달에 데이터를 9GB쯤 써. 어느 요금제가 싸?", None),
        ("어디에 버려야 하나요?", None),
        ("쉽게 풀어 주세요.", None),
    ],
)
@needs_kiwi
def test_verb_and_object_in_korean(instruction: str, pair: tuple[str, str] | None) -> None:
    assert korean.rule() == korean.BY_MORPHEMES
    assert korean.verb_object(instruction) == pair


@pytest.mark.parametrize(
    ("instruction", "pair"),
    [
        ("다음 문장을 요약하시오.", ("요약하다", "문장")),
        ("이 글의 주제를 한 문장으로 설명해줘", ("설명하다", "주제")),
        ("이메일을 작성해 주세요.", ("작성하다", "이메일")),
        ("앞치마에 대한 시를 써 줘.", ("써", "시")),
        ("문제 세 개를 내 주세요.", None),
        ("어디에 버려야 하나요?", None),
    ],
)
def test_without_morphemes_the_endings_of_words_decide(
    instruction: str, pair: tuple[str, str] | None
) -> None:
    assert korean.by_endings(instruction) == pair


def test_the_chance_of_the_same_pair_does_not_depend_on_the_number() -> None:
    texts = ["Write a poem.", "Write a poem!", "Please write a poem.", "Name a river."]
    assert verb_objects(texts, "en").same_pair == 0.5
    draw = random.Random(0)
    nouns = ["poem", "story", "letter", "song"]
    few, many = (
        verb_objects([f"Write a {draw.choice(nouns)} now." for _ in range(count)], "en").same_pair
        for count in (200, 5000)
    )
    assert few == pytest.approx(0.25, abs=0.03)
    assert many == pytest.approx(0.25, abs=0.01)
    assert verb_objects(["Write a poem."], "en").same_pair is None


def test_distinct_counts_segments_of_one_length() -> None:
    words = [f"w{number}" for number in range(SEGMENT)]
    assert distinct([" ".join(words)]) == [], "the pairs do not fill a segment"
    assert distinct([" ".join([*words, "end", "end"])]) == [1.0, 1.0, 1.0]
    half = [" ".join(words[: SEGMENT // 2])] * 2
    assert distinct([*half, "and more words here"])[:1] == []
    draw = random.Random(0)
    small, large = (
        distinct([" ".join(draw.choices(words, k=20)) for _ in range(count)])
        for count in (100, 1000)
    )
    assert small == pytest.approx(large, abs=0.02)


def test_diversity_counts_an_instruction_once() -> None:
    texts = ["Write a poem on rain.", "Write a poem on rain.", "List a river in Peru."]
    found = diversity(texts, "en", seed=1)
    assert found.instructions == 2
    assert found.verb_objects.looked_at == 2
    assert found.nearest == [0.0, 0.2]
    assert found == diversity(texts, "en", seed=1)
