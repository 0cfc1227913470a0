"""The shipped Korean seed tasks: written for Korean, not translated."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter

import pytest

from pacos.files import read_jsonl
from pacos.schemas import SeedTask, read_seed_tasks
from selfinstruct.config import SHIPPED_SEEDS
from selfinstruct.pool.novelty import tokenize
from tests.selfinstruct.seeds.test_english import TOO_CLOSE, score

KO = SHIPPED_SEEDS / "ko.jsonl"
HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
LETTER = re.compile(r"[^\W\d_]")
MOBILE = re.compile(r"(?<!\d)01[016789][-. ]?(\d{3,4})[-. ]?\d{4}(?!\d)")
RESIDENT_NUMBER = re.compile(r"\d{6}-[1-8]\d{6}")


@pytest.fixture(scope="module")
def seeds() -> list[SeedTask]:
    return read_seed_tasks(KO)


def texts(seed: SeedTask) -> tuple[str, str, str]:
    return seed.instruction, seed.input, seed.output


def hangul_share(text: str) -> float:
    return len(HANGUL.findall(text)) / len(LETTER.findall(text))


def test_there_are_175_of_one_schema(seeds: list[SeedTask]) -> None:
    assert [seed.id for seed in seeds] == [f"seed_ko_{number:03d}" for number in range(1, 176)]
    for record in read_jsonl(KO):
        assert list(record) == ["id", "name", "instruction", "instances", "is_classification"]
        assert [list(instance) for instance in record["instances"]] == [["input", "output"]]


def test_texts_are_clean(seeds: list[SeedTask]) -> None:
    for seed in seeds:
        assert re.fullmatch(r"[a-z0-9_]+", seed.name), seed.id
        assert "\n" not in seed.instruction, seed.id
        for text in texts(seed):
            assert text == text.strip(), seed.id
            assert text == unicodedata.normalize("NFC", text), seed.id
            assert "\r" not in text, seed.id


@pytest.mark.parametrize("key", ["name", "instruction"])
def test_none_is_there_twice(seeds: list[SeedTask], key: str) -> None:
    values = [getattr(seed, key).casefold() for seed in seeds]
    assert len(set(values)) == len(values)


def test_the_mix_of_kinds(seeds: list[SeedTask]) -> None:
    assert 24 <= sum(seed.is_classification for seed in seeds) <= 28
    assert 45 <= sum(not seed.input for seed in seeds) <= 55
    assert all(seed.input or not seed.is_classification for seed in seeds)


def test_a_label_is_among_those_that_were_named(seeds: list[SeedTask]) -> None:
    for seed in seeds:
        if seed.is_classification:
            assert "\n" not in seed.output, seed.id
            assert seed.output in seed.instruction, seed.id


def test_no_two_are_alike(seeds: list[SeedTask]) -> None:
    tokens = {seed.id: tokenize(seed.instruction) for seed in seeds}
    close = [
        pair
        for pair in itertools.combinations(tokens, 2)
        if score(tokens[pair[0]], tokens[pair[1]]) > TOO_CLOSE
    ]
    assert close == []


def test_openings_vary(seeds: list[SeedTask]) -> None:
    openings = Counter(tuple(tokenize(seed.instruction)[:2]) for seed in seeds)
    assert max(openings.values()) <= 2


def test_instructions_are_in_korean(seeds: list[SeedTask]) -> None:
    # Code, English to translate and the keys of a JSON object are not.
    shares = sorted(hangul_share(seed.instruction) for seed in seeds)
    assert shares[len(shares) // 20] > 0.8
    assert hangul_share("".join(text for seed in seeds for text in texts(seed))) > 0.85


def test_no_number_belongs_to_a_person(seeds: list[SeedTask]) -> None:
    for seed in seeds:
        for text in texts(seed):
            assert not RESIDENT_NUMBER.search(text), seed.id
            # No exchange of Korean mobile numbers begins with 0.
            assert all(exchange[0] == "0" for exchange in MOBILE.findall(text)), seed.id
