from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rapidfuzz.distance import LCSseq

from pacos.text.words import WordRule
from selfinstruct.pool.novelty import NoveltyIndex, rouge_l, self_similarity, tokenize

LIMIT = 0.7


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[str]:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    return [row["instruction"] for row in rows]


@pytest.fixture(scope="module")
def instructions(rows: list[str]) -> list[str]:
    return [text for text in rows if text.isascii()]


@pytest.fixture(scope="module")
def scorer() -> Any:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


def rouge_f(scorer: Any, target: str, prediction: str) -> float:
    score: float = scorer.score(target, prediction)["rougeL"].fmeasure
    return score


def mutated(text: str, draw: random.Random) -> str:
    """A near-duplicate: some words moved or gone."""
    words = text.split()
    for _ in range(draw.randint(0, 3)):
        words.insert(draw.randrange(len(words) + 1), words.pop(draw.randrange(len(words))))
    return " ".join(words[: max(1, len(words) - draw.randint(0, 2))])


def brute_force(pool: list[str], query: str, floor: float) -> tuple[str, float] | None:
    """The first entry with the highest score above the floor, its number as its id."""
    words = tokenize(query)
    scores = [
        rouge_l(LCSseq.similarity(words, other), len(words), len(other))
        for other in map(tokenize, pool)
    ]
    best = max(scores, default=0.0)
    return (str(scores.index(best)), best) if best > floor else None


def found(index: NoveltyIndex, query: str) -> tuple[str, float] | None:
    nearest = index.nearest(query)
    return None if nearest is None else (nearest.id, nearest.score)


def test_scores_equal_rouge_score(instructions: list[str], scorer: Any) -> None:
    draw = random.Random(0)
    far = [(draw.choice(instructions), draw.choice(instructions)) for _ in range(1500)]
    near = [(text, mutated(text, draw)) for text in draw.sample(instructions, 1500)]
    for target, prediction in [*far, *near, ("", "a"), ("!", "?"), ("a_b c", "A b, C")]:
        a, b = tokenize(prediction), tokenize(target)
        ours = rouge_l(LCSseq.similarity(a, b), len(a), len(b))
        assert ours == rouge_f(scorer, target, prediction), (target, prediction)


@pytest.mark.parametrize("floor", [0.0, 0.3, 0.6, 0.7, 0.9])
def test_the_nearest_is_the_one_that_brute_force_finds(
    instructions: list[str], floor: float
) -> None:
    draw = random.Random(1)
    originals = draw.sample(instructions, 250)
    pool = [*originals, *(mutated(text, draw) for text in originals), "", "Yes", "?!", "yes yes"]
    draw.shuffle(pool)
    index = NoveltyIndex(floor)
    for number, text in enumerate(pool):
        index.add(str(number), text)
    queries = [mutated(text, draw) for text in draw.sample(pool, 100)]
    for query in [*queries, *draw.sample(instructions, 100), "", "yes", "no such zyzzyva"]:
        assert found(index, query) == brute_force(pool, query, floor), query


def test_texts_of_every_length_from_few_words() -> None:
    # Few words: signatures are shared by many, words are repeated, and scores hit the floor itself.
    draw = random.Random(2)
    texts = [" ".join(draw.choices("abcdef", k=draw.randint(0, 14))) for _ in range(300)]
    texts += [" ".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=k)) for k in range(200, 320, 7)]
    texts += [f"{text} z" for text in texts[-8:]]
    index = NoveltyIndex(LIMIT)
    for number, text in enumerate(texts):
        assert found(index, text) == brute_force(texts[:number], text, LIMIT), text
        index.add(str(number), text)


@pytest.mark.parametrize("floor", [0.35, 0.5, 0.6, 2 / 3, 0.7, 0.9])
def test_around_the_floor_the_floats_of_rouge_score_decide(floor: float) -> None:
    for length, other in itertools.product(range(1, 21), repeat=2):
        near = round(floor * (length + other) / 2)
        for common in range(max(1, near - 1), min(length, other, near + 1) + 1):
            shared = [f"s{number}" for number in range(common)]
            query = [*shared, *(f"q{number}" for number in range(length - common))]
            entry = [*shared, *(f"e{number}" for number in range(other - common))]
            index = NoveltyIndex(floor)
            index.add("entry", " ".join(entry))
            score = rouge_l(common, length, other)
            expected = ("entry", score) if score > floor else None
            assert found(index, " ".join(query)) == expected


def accepted(index: NoveltyIndex, texts: list[str]) -> list[bool]:
    verdicts = []
    for number, text in enumerate(texts):
        nearest = index.nearest(text)
        verdicts.append(nearest is None or nearest.score <= LIMIT)
        if verdicts[-1]:
            index.add(str(number), text)
    return verdicts


def test_a_pool_grows_as_the_original_lets_it(instructions: list[str], scorer: Any) -> None:
    draw = random.Random(3)
    originals = draw.sample(instructions, 100)
    texts = [*originals, *(mutated(text, draw) for text in originals)]
    draw.shuffle(texts)
    pool: list[str] = []
    expected = []
    for text in texts:
        expected.append(max((rouge_f(scorer, text, other) for other in pool), default=0) <= LIMIT)
        if expected[-1]:
            pool.append(text)
    assert accepted(NoveltyIndex(), texts) == expected
    assert 20 < expected.count(False) < 120


def common_words(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """For every pair of texts how many words they share, repetitions counted; and the lengths.

    Words as rouge_score cuts them.
    """
    from rouge_score.tokenize import tokenize as rouge_tokenize
    from scipy.sparse import csr_array

    numbers: dict[tuple[str, int], int] = {}
    owners, columns = [], []
    lengths = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        words = rouge_tokenize(text, None)
        lengths[row] = len(words)
        for word, count in Counter(words).items():
            for repetition in range(count):
                owners.append(row)
                columns.append(numbers.setdefault((word, repetition), len(numbers)))
    ones = np.ones(len(owners), dtype=np.int16)
    matrix = csr_array((ones, (owners, columns)), shape=(len(texts), len(numbers)))
    return (matrix @ matrix.T).toarray(), lengths


def check_every_pair(texts: list[str], scorer: Any, beyond: float, others: int) -> tuple[int, int]:
    """Compare with rouge_score each pair that its words allow to score above `beyond`, and others.

    A score is at most 2 · common words / (words of both), so that no pair left out is above it.
    Returns the number of pairs compared, and of those above the limit.
    """
    common, lengths = common_words(texts)
    # Less 1e-9, since 6 common words of 10 and 10 score 0.6000000000000001.
    allowed = 2 * common > (beyond - 1e-9) * (lengths[:, None] + lengths[None, :])
    pairs = {(int(a), int(b)) for a, b in np.argwhere(np.triu(allowed, k=1))}
    draw = random.Random(4)
    pairs |= {tuple(sorted(draw.sample(range(len(texts)), 2))) for _ in range(others)}  # type: ignore[misc]
    best = [(0.0, 0)] * len(texts)
    close = 0
    for first, second in sorted(pairs):
        theirs = rouge_f(scorer, texts[first], texts[second])
        index = NoveltyIndex(LIMIT)
        index.add("first", texts[first])
        nearest = index.nearest(texts[second])
        assert (nearest is not None) == (theirs > LIMIT), (texts[first], texts[second])
        assert nearest is None or nearest.score == theirs
        close += theirs > LIMIT
        if theirs > best[second][0]:
            best[second] = (theirs, first)
    for floor in (beyond, LIMIT):
        index = NoveltyIndex(floor)
        for number, text in enumerate(texts):
            score, first = best[number]
            assert found(index, text) == ((str(first), score) if score > floor else None)
            index.add(str(number), text)
    return len(pairs), close


def test_every_pair_of_some_real_instructions(rows: list[str], scorer: Any) -> None:
    draw = random.Random(5)
    texts = draw.sample(rows, 800)
    texts += [mutated(text, draw) for text in texts[:200]]
    _, close = check_every_pair(texts, scorer, beyond=0.6, others=2000)
    assert close > 100


@pytest.mark.slow
def test_every_pair_of_the_real_instructions(rows: list[str], scorer: Any) -> None:
    compared, _ = check_every_pair(rows, scorer, beyond=0.6, others=100_000)
    assert compared > 100_000


@pytest.mark.slow
def test_every_pair_of_them_and_near_duplicates(instructions: list[str], scorer: Any) -> None:
    # The authors left hardly any pair above the limit, so some are made.
    draw = random.Random(6)
    near = [mutated(text, draw) for text in draw.sample(instructions, 1000)]
    compared, close = check_every_pair([*instructions, *near], scorer, beyond=0.45, others=0)
    assert compared > 20_000
    assert close > 500


def test_arrival_order_decides_inside_a_batch() -> None:
    index = NoveltyIndex()
    assert index.nearest("Name three rivers of Peru") is None
    index.add("first", "Name three rivers of Peru")
    index.add("second", "Name three rivers of Peru")
    nearest = index.nearest("Name three rivers of Chile")
    assert nearest is not None
    assert nearest.id == "first"
    assert nearest.score == pytest.approx(0.8)
    assert len(index) == 2


def test_exactly_the_limit_is_kept() -> None:
    for floor, expected in ((0.5, ("ten", 0.7)), (0.7, None)):
        index = NoveltyIndex(floor)
        index.add("ten", "a b c d e f g h i j")
        assert found(index, "a b c d e f g x y z") == expected


def test_a_word_counts_as_often_as_it_is_there() -> None:
    index = NoveltyIndex(0.5)
    index.add("thrice", "the the the cat")
    assert found(index, "the dog the") == ("thrice", rouge_l(2, 3, 4))


def test_the_floor_is_a_share() -> None:
    with pytest.raises(ValueError, match="floor = 1"):
        NoveltyIndex(1.0)


def test_korean_is_close_to_itself() -> None:
    index = NoveltyIndex()
    index.add("ko", "한국의 수도는 어디인가요?")
    assert found(index, "한국의 수도는 어디인가요") == ("ko", 1.0)
    assert index.nearest("오늘 날씨를 알려 주세요") is None


def test_korean_by_morphemes_is_close_with_other_particles() -> None:
    pytest.importorskip("kiwipiepy")
    index = NoveltyIndex(words=WordRule.kiwi)
    index.add("ko", "서울은 어떤 도시인가요?")
    assert found(index, "서울이 어떤 도시입니까?") == ("ko", 1.0)


def test_self_similarity_looks_back_only_and_at_the_whole_pool(instructions: list[str]) -> None:
    texts = instructions[:300]
    scores = self_similarity(texts, 300, seed=0)
    for number in range(0, 300, 7):
        nearest = brute_force(texts[:number], texts[number], 0.0)
        assert scores[number] == (nearest[1] if nearest else 0.0)
    drawn = self_similarity(texts, 50, seed=1)
    assert len(drawn) == 50
    assert not Counter(drawn) - Counter(scores)
