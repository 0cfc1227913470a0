from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from rapidfuzz.distance import LCSseq

from selfinstruct.novelty import NoveltyIndex, rouge_l, tokenize


@pytest.fixture(scope="module")
def instructions(shared_data: Path) -> list[str]:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    return [row["instruction"] for row in rows if row["instruction"].isascii()]


def mutated(text: str, draw: random.Random) -> str:
    """A near-duplicate: some words moved or gone."""
    words = text.split()
    for _ in range(draw.randint(0, 3)):
        words.insert(draw.randrange(len(words) + 1), words.pop(draw.randrange(len(words))))
    return " ".join(words[: max(1, len(words) - draw.randint(0, 2))])


def pairs(instructions: list[str]) -> list[tuple[str, str]]:
    draw = random.Random(0)
    far = [(draw.choice(instructions), draw.choice(instructions)) for _ in range(1500)]
    near = [(text, mutated(text, draw)) for text in draw.sample(instructions, 1500)]
    return [*far, *near, ("", "a"), ("!", "?"), ("a_b c", "A b, C")]


def test_scores_equal_rouge_score(instructions: list[str]) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    for target, prediction in pairs(instructions):
        a, b = tokenize(prediction), tokenize(target)
        ours = rouge_l(LCSseq.similarity(a, b), len(a), len(b))
        theirs = scorer.score(target, prediction)["rougeL"].fmeasure
        assert ours == theirs, (target, prediction)
        assert (ours > 0.7) == (theirs > 0.7)


def test_the_nearest_is_the_one_that_brute_force_finds(instructions: list[str]) -> None:
    draw = random.Random(1)
    pool = draw.sample(instructions, 400)
    index = NoveltyIndex()
    for number, text in enumerate(pool):
        index.add(str(number), text)
    queries = [mutated(text, draw) for text in draw.sample(pool, 100)]
    for query in queries + draw.sample(instructions, 200):
        tokens = tokenize(query)
        scores = [
            rouge_l(LCSseq.similarity(tokens, other), len(tokens), len(other))
            for other in map(tokenize, pool)
        ]
        nearest = index.nearest(query)
        assert nearest is not None
        assert (nearest.score, int(nearest.id)) == (max(scores), scores.index(max(scores)))


def test_arrival_order_decides_inside_a_batch() -> None:
    index = NoveltyIndex()
    assert index.nearest("Name three rivers of Peru") is None
    index.add("first", "Name three rivers of Peru")
    nearest = index.nearest("Name three rivers of Chile")
    assert nearest is not None
    assert nearest.id == "first"
    assert nearest.score == pytest.approx(0.8)


def test_exactly_the_limit_is_kept() -> None:
    index = NoveltyIndex()
    index.add("ten", "a b c d e f g h i j")
    nearest = index.nearest("a b c d e f g x y z")
    assert nearest is not None
    assert nearest.score == 0.7


def test_a_word_counts_as_often_as_it_is_there() -> None:
    index = NoveltyIndex()
    index.add("thrice", "the the the cat")
    nearest = index.nearest("the dog the")
    assert nearest is not None
    assert nearest.score == rouge_l(2, 3, 4)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("한국의 수도는 어디인가요?", ["한국의", "수도는", "어디인가요"]),
        ("Où est l'ÉCOLE?", ["où", "est", "l", "école"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("Ω_1 and x2", ["ω", "1", "and", "x2"]),
    ],
)
def test_words_of_any_script(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


def test_korean_is_close_to_itself() -> None:
    index = NoveltyIndex()
    index.add("ko", "한국의 수도는 어디인가요?")
    same, other = (
        index.nearest("한국의 수도는 어디인가요"),
        index.nearest("오늘 날씨를 알려 주세요"),
    )
    assert same is not None
    assert same.score == 1.0
    assert other is None
