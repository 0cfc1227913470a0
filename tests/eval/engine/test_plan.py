import random

import pytest
import torch
from transformers import LlamaConfig

from eval.engine.packed_pass import PassLayout
from eval.engine.plan import (
    UNIT_PASSES,
    Group,
    Pass,
    Request,
    Row,
    make_groups,
    make_rows,
    make_units,
)
from pacos.errors import UserError


def rows_of(requests: list[Request], max_length: int = 64) -> list[Row]:
    return make_rows(requests, max_length)


def sequences(units: list[list[Pass]]) -> dict[int, tuple[list[int], list[int]]]:
    """What the plan computes for each request: context and continuation."""
    return {
        number: ([*group.trunk, *row.context], tokens)
        for unit in units
        for one in unit
        for group in one.groups
        for row in group.rows
        for number, tokens in zip(row.numbers, row.continuations, strict=True)
    }


def test_choices_share_their_context() -> None:
    context = [1, 2, 3]
    rows = rows_of([(None, context, [4]), (None, context, [5, 6]), (None, [1], [7])])
    assert [len(row) for row in rows] == [4, 1]
    assert [row.numbers for row in rows] == [[0, 1], [2]]


def test_a_continuation_without_a_token_is_named() -> None:
    with pytest.raises(UserError, match=r"answer B.*0 tokens of its own"):
        rows_of([(("question", "answer B"), [1, 2], [])])


def test_a_long_context_loses_its_left_end() -> None:
    (row,) = rows_of([(None, [1, 2, 3, 4, 5], [6, 7])], max_length=4)
    assert row.context == [3, 4, 5]
    assert len(row) == 4


def test_examples_of_a_subject_are_one_trunk() -> None:
    subjects = {subject: [subject] * 8 + [0] * 4 for subject in (1, 2)}
    requests: list[Request] = [
        (None, [9, *subjects[subject], 20 + question], [choice])
        for subject in (1, 2)
        for question in range(5)
        for choice in (3, 4)
    ]
    groups = make_groups(rows_of(requests))
    assert [group.trunk for group in groups] == [[9, *subjects[1]], [9, *subjects[2]]]
    assert [len(group.rows) for group in groups] == [5, 5]
    assert sum(map(len, groups)) == 2 * 13 + 10


def test_a_beginning_that_saves_little_is_not_shared() -> None:
    """Long contexts that begin with the same word: attention through a mask would cost more."""
    requests: list[Request] = [(None, [1, *range(n, n + 40)], [2]) for n in (100, 200, 300)]
    groups = make_groups(rows_of(requests))
    assert [len(group.trunk) for group in groups] == [40, 40, 40]


def test_every_request_is_planned_once_with_its_own_tokens() -> None:
    draw = random.Random(1)
    requests: list[Request] = []
    for _ in range(60):
        prefix = [draw.randrange(3) for _ in range(draw.randrange(12))]
        context = [*prefix, *(draw.randrange(9) for _ in range(1 + draw.randrange(9)))]
        for _ in range(draw.randrange(1, 4)):
            requests.append(
                (None, context, [draw.randrange(9) for _ in range(1 + draw.randrange(4))])
            )
    units = make_units(requests, max_length=64, batch_tokens=40)
    assert sequences(units) == {
        number: (context, tokens) for number, (_, context, tokens) in enumerate(requests)
    }
    numbers = [number for unit in units for one in unit for number in one.numbers()]
    assert sorted(numbers) == list(range(len(requests)))


def test_a_large_subject_is_divided_and_its_trunk_kept() -> None:
    trunk = list(range(100, 120))
    requests: list[Request] = [(None, [*trunk, 1000 + n, 1, 2], [3]) for n in range(100)]
    units = make_units(requests, max_length=64, batch_tokens=30)
    assert all(len(unit) <= UNIT_PASSES for unit in units)
    assert len(units) > 1
    for unit in units:
        assert [one.is_resumed for one in unit] == [False] + [True] * (len(unit) - 1)
        assert [one.is_continued for one in unit] == [True] * (len(unit) - 1) + [False]
        assert all(len(one) <= 30 for one in unit)
    assert len(sequences(units)) == 100


def test_a_pass_is_laid_out_as_drawn() -> None:
    """Trunk 1 2, from which a row 3 forks into 4 5, 6 and 7 8; and a trunk 9 with a row 9 alone."""
    rows = [Row([3], [[4, 5], [6], [7, 8, 8]], [0, 1, 2])], [Row([9], [[9]], [3])]
    one = Pass([Group([1, 2], rows[0]), Group([9], rows[1])])

    class Model:
        config = LlamaConfig(num_attention_heads=2, num_key_value_heads=1)
        dtype = torch.float32

    laid = PassLayout(one, Model(), torch.device("cpu"), {})
    assert laid.ids.tolist() == [[1, 2, 9, 3, 4, 7, 8, 9]]
    assert laid.positions.tolist() == [[0, 1, 0, 2, 3, 3, 4, 1]]
    assert laid.places.tolist() == [3, 4, 5, 6, 7]
    assert laid.scored.tolist() == [0, 1, 0, 0, 2, 3, 4]
    assert laid.targets.tolist() == [4, 5, 6, 7, 8, 8, 9]
    assert laid.spans == [2, 1, 3, 1]
    seen = (laid._bias[0, 0, :4] == 0).int().tolist()
    assert seen == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 1, 0],
        [1, 1, 1, 0, 1, 1],
    ]
    assert (laid._bias[1, 0, 0] == 0).int().tolist() == [1, 0, 1, 0, 0, 0]
