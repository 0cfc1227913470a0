"""The shipped worked examples: what every classification and instance of a run imitates."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacos.errors import UserError
from pacos.schemas import read_seed_tasks
from selfinstruct.config import SHIPPED_SEEDS
from selfinstruct.pool.novelty import NoveltyIndex
from selfinstruct.requests.shots import LANGUAGES, Shots, load_shots

TOO_CLOSE = 0.7
IMPLIED = {"en": {"yes", "no"}, "ko": {"예", "아니요"}}
"""Labels that a question need not name."""
MARK = re.compile(
    r"^\s*(###|(Task|Class label|Example|Input|Output|Instruction)\b[ \d.]*:?"
    r"|(과제|분류|예시|입력|출력|지시)[ \d.]*:)",
    re.MULTILINE,
)
"""What parts of a prompt begin with: inside a text it would be read as the next part."""


@pytest.fixture(params=["en", "ko"])
def lang(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shots(lang: str) -> Shots:
    return load_shots(lang)


def instructions(shots: Shots) -> list[str]:
    steps = shots.classification, shots.output_first, shots.input_first
    return [shot.instruction for step in steps for shot in step]


def texts(shots: Shots) -> Iterator[str]:
    yield from instructions(shots)
    for labelled in itertools.chain.from_iterable(shot.instances for shot in shots.output_first):
        yield from (labelled.label, labelled.input)
    for instance in itertools.chain.from_iterable(shot.instances for shot in shots.input_first):
        yield from (instance.input, instance.output)


def check_apart(ours: list[str], theirs: dict[str, str]) -> None:
    """No instruction of ours is close to one of theirs."""
    index = NoveltyIndex()
    for name, instruction in theirs.items():
        index.add(name, instruction)
    for instruction in ours:
        nearest = index.nearest(instruction)
        assert nearest is None or nearest.score <= TOO_CLOSE, (instruction, nearest.id)


def test_there_are_as_many_as_in_self_instruct(shots: Shots) -> None:
    assert len(shots.classification) == 31
    assert sum(shot.is_classification for shot in shots.classification) == 12
    assert len(shots.output_first) == 16
    assert sum(len(shot.instances) for shot in shots.output_first) == 34
    assert len(shots.input_first) == 11
    assert {len(shot.instances) for shot in shots.input_first} == {1, 2, 3}


def test_the_answers_are_well_mixed(shots: Shots) -> None:
    answers = [shot.is_classification for shot in shots.classification]
    runs = {
        flag: [len(list(run)) for key, run in itertools.groupby(answers) if key is flag]
        for flag in (True, False)
    }
    assert max(runs[True]) <= 2
    assert max(runs[False]) <= 3
    assert 5 <= sum(answers[:15]) <= 7


def test_texts_are_clean(shots: Shots) -> None:
    for text in texts(shots):
        assert text == text.strip(), text
        assert "\r" not in text
        assert not text.endswith((":", "：")), text
        assert MARK.search(text) is None, text


def test_instructions_are_one_line_and_long_enough_for_the_filters(shots: Shots) -> None:
    for instruction in instructions(shots):
        assert "\n" not in instruction
        assert len(instruction.split()) >= 4, instruction


def test_each_label_has_one_input_and_is_named(lang: str, shots: Shots) -> None:
    for shot in shots.output_first:
        labels = [instance.label for instance in shot.instances]
        assert len(set(labels)) == len(labels), shot.instruction
        for instance in shot.instances:
            assert instance.input
            assert "\n" not in instance.label
            named = f"{shot.instruction}\n{instance.input}".casefold()
            label = instance.label
            assert label.casefold() in named or label in IMPLIED[lang], label


def test_neither_answer_of_a_question_comes_first_by_habit(lang: str, shots: Shots) -> None:
    firsts = [
        shot.instances[0].label
        for shot in shots.output_first
        if {instance.label for instance in shot.instances} in (IMPLIED[lang], {"O", "X"})
    ]
    assert len(set(firsts)) == 2


def test_some_inputs_have_several_fields_and_some_tasks_have_none(shots: Shots) -> None:
    fields = re.compile(r"[^\n:]+: .+\n[^\n:]+: .+")
    labelled = [shot.instances[0].input for shot in shots.output_first]
    assert sum(bool(fields.fullmatch(text)) for text in labelled) >= 2
    without = [shot for shot in shots.input_first if not shot.instances[0].input]
    assert 3 <= len(without) <= 5
    assert all(len(shot.instances) == 1 for shot in without)


def test_instances_pass_the_rules_of_self_instruct(shots: Shots) -> None:
    for shot in shots.input_first:
        inputs = [instance.input for instance in shot.instances]
        assert len(set(inputs)) == len(inputs), shot.instruction
        for instance in shot.instances:
            assert instance.output
            assert instance.output != instance.input


def test_korean_examples_are_in_korean() -> None:
    for instruction in instructions(load_shots("ko")):
        letters = [letter for letter in instruction if letter.isalpha()]
        hangul = [letter for letter in letters if "가" <= letter <= "힣"]
        assert len(hangul) >= 0.6 * len(letters), instruction


def test_no_two_are_alike(shots: Shots) -> None:
    ours = instructions(shots)
    for number, instruction in enumerate(ours):
        check_apart([instruction], {other: other for other in ours[:number]})


@pytest.mark.parametrize("pool", ["en", "ko"])
def test_none_is_a_seed(shots: Shots, pool: str) -> None:
    path = SHIPPED_SEEDS / f"{pool}.jsonl"
    if not path.is_file():
        pytest.skip(f"no seeds in {pool}")
    check_apart(instructions(shots), {seed.id: seed.instruction for seed in read_seed_tasks(path)})


@pytest.mark.parametrize("name", ["seed_tasks.jsonl", "user_oriented_instructions.jsonl"])
def test_none_is_taken_from_self_instruct(shots: Shots, shared_data: Path, name: str) -> None:
    lines = (shared_data / "self_instruct" / name).read_text().splitlines()
    theirs = [json.loads(line) for line in lines]
    check_apart(instructions(shots), {task["id"]: task["instruction"] for task in theirs})


def test_another_language_is_refused_with_those_there_are() -> None:
    assert LANGUAGES == ("en", "ko")
    with pytest.raises(UserError, match=r"language = fr: .*choose one of en, ko"):
        load_shots("fr")


def test_reading_is_cached_and_free_of_torch() -> None:
    assert load_shots("en") is load_shots("en")
    check = "import selfinstruct.requests.shots, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
