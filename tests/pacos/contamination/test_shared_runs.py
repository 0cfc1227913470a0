from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from pacos.contamination.shared_runs import GRAM, Run, RunIndex


def index(texts: Sequence[Sequence[int]]) -> RunIndex:
    words = np.array([word for text in texts for word in text], dtype=np.int32)
    return RunIndex(words, np.cumsum([0, *map(len, texts)]))


def query(*words: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(words, dtype=np.int32)


def brute_force(texts: Sequence[Sequence[int]], asked: Sequence[int]) -> list[Run]:
    """Every pair of places where a run begins, followed to its end."""
    found = []
    for number, text in enumerate(texts):
        for at in range(len(asked)):
            for offset in range(len(text)):
                if at and offset and asked[at - 1] == text[offset - 1]:
                    continue
                length = 0
                while (
                    at + length < len(asked)
                    and offset + length < len(text)
                    and asked[at + length] == text[offset + length]
                ):
                    length += 1
                if length >= GRAM:
                    found.append(Run(number, offset, at, length))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_all_runs_are_found_and_are_as_long_as_can_be(seed: int) -> None:
    draw = random.Random(seed)
    texts = [[draw.randrange(2) for _ in range(draw.randrange(40))] for _ in range(12)]
    asked = [draw.choice([0, 1, 1, 0, 0, -1] if at % 15 == 0 else [0, 1]) for at in range(60)]
    found = index(texts).runs(query(*asked))

    def place(run: Run) -> tuple[int, int, int]:
        return run.text, run.at, run.offset

    assert sorted(found, key=place) == sorted(brute_force(texts, asked), key=place)
    assert found


def test_a_run_ends_with_its_text() -> None:
    texts = [list(range(10)), list(range(10, 20))]
    assert index(texts).runs(query(*range(20))) == [Run(0, 0, 0, 10), Run(1, 0, 10, 10)]


def test_a_word_that_no_text_has_ends_a_run() -> None:
    words = [*range(9), -1, *range(10, 20)]
    assert index([range(20)]).runs(query(*words)) == [Run(0, 0, 0, 9), Run(0, 10, 10, 10)]


def test_what_is_too_short_is_no_run() -> None:
    assert index([range(20)]).runs(query(*range(GRAM - 1))) == []
    assert index([range(GRAM - 1)]).runs(query(*range(20))) == []
    assert index([[], []]).runs(query(*range(20))) == []
