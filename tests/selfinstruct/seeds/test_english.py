"""The shipped seed tasks: the data that every other row descends from."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from rapidfuzz.distance import LCSseq

from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.schemas import SeedTask, read_seed_tasks
from selfinstruct.config import SHIPPED_SEEDS
from selfinstruct.pool.novelty import rouge_l, tokenize

EN = SHIPPED_SEEDS / "en.jsonl"
TOO_CLOSE = 0.7


@pytest.fixture(scope="module")
def seeds() -> list[SeedTask]:
    return read_seed_tasks(EN)


def score(a: list[str], b: list[str]) -> float:
    return rouge_l(LCSseq.similarity(a, b), len(a), len(b))


def test_there_are_175_of_one_schema(seeds: list[SeedTask]) -> None:
    assert len(seeds) == 175
    for record in read_jsonl(EN):
        assert list(record) == ["id", "name", "instruction", "instances", "is_classification"]
        assert [list(instance) for instance in record["instances"]] == [["input", "output"]]


def test_texts_are_clean(seeds: list[SeedTask]) -> None:
    for seed in seeds:
        for text in (seed.instruction, seed.input, seed.output):
            assert text == text.strip(), seed.id
            assert "\r" not in text, seed.id


def test_bad_lines_of_a_users_file_are_named_by_file_and_number(tmp_path: Path) -> None:
    lines = EN.read_text(encoding="utf-8").splitlines()[:6]
    record = json.loads(lines[0])
    lines[1] = "{'id': 'single quotes'}"
    lines[2] = json.dumps({key: record[key] for key in record if key != "instances"})
    lines[3] = json.dumps({**record, "is_classification": "no"})
    lines[4] = json.dumps({**record, "instruction": " "})
    lines[5] = lines[5][:-9]
    own = tmp_path / "own.jsonl"
    own.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_seed_tasks(own)
    said = str(error.value).splitlines()
    assert [line.split(": ")[0] for line in said] == [f"{own}:{n}" for n in (2, 3, 4, 5, 6)]
    assert "instances, the first of which has input and output" in said[1]
    assert "must be true or false" in said[2]


@pytest.mark.parametrize("key", ["id", "name", "instruction"])
def test_none_is_there_twice(seeds: list[SeedTask], key: str) -> None:
    values = [getattr(seed, key).casefold() for seed in seeds]
    assert len(set(values)) == len(values)


def test_the_mix_of_kinds(seeds: list[SeedTask]) -> None:
    assert 24 <= sum(seed.is_classification for seed in seeds) <= 28
    assert 45 <= sum(not seed.input for seed in seeds) <= 55
    assert all(seed.input or not seed.is_classification for seed in seeds)


def test_no_two_are_alike(seeds: list[SeedTask]) -> None:
    tokens = {seed.id: tokenize(seed.instruction) for seed in seeds}
    close = [
        pair
        for pair in itertools.combinations(tokens, 2)
        if score(tokens[pair[0]], tokens[pair[1]]) > TOO_CLOSE
    ]
    assert close == []


@pytest.mark.parametrize("name", ["seed_tasks.jsonl", "user_oriented_instructions.jsonl"])
def test_none_is_taken_from_self_instruct(
    seeds: list[SeedTask], shared_data: Path, name: str
) -> None:
    lines = (shared_data / "self_instruct" / name).read_text().splitlines()
    theirs = [tokenize(json.loads(line)["instruction"]) for line in lines]
    for seed in seeds:
        ours = tokenize(seed.instruction)
        assert max(score(ours, other) for other in theirs) <= TOO_CLOSE, seed.id
