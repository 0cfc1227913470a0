import random

import pytest
import torch
from transformers import LlamaConfig

from eval.engine.packed_pass import PackedPass
from eval.engine.plan import (
    MAX_CHAIN_PASSES,
    Fork,
    ForwardPass,
    PassChain,
    PrefixGroup,
    TokenizedRequest,
    group_by_prefix,
    make_forks,
    plan_passes,
)
from pacos.errors import UserError


def forks_of(requests: list[TokenizedRequest], max_length: int = 64) -> list[Fork]:
    return make_forks(requests, max_length)


def sequences(chains: list[PassChain]) -> dict[int, tuple[list[int], list[int]]]:
    """What the plan computes for each request: context and continuation."""
    return {
        number: ([*group.prefix, *fork.context], tokens)
        for chain in chains
        for one in chain
        for group in one.groups
        for fork in group.forks
        for number, tokens in zip(fork.request_indices, fork.continuations, strict=True)
    }


def test_choices_share_their_context() -> None:
    context = [1, 2, 3]
    forks = forks_of([(None, context, [4]), (None, context, [5, 6]), (None, [1], [7])])
    assert [len(fork) for fork in forks] == [4, 1]
    assert [fork.request_indices for fork in forks] == [[0, 1], [2]]


def test_a_continuation_without_a_token_is_named() -> None:
    with pytest.raises(UserError, match=r"answer B.*0 tokens of its own"):
        forks_of([(("question", "answer B"), [1, 2], [])])


def test_a_long_context_loses_its_left_end() -> None:
    (fork,) = forks_of([(None, [1, 2, 3, 4, 5], [6, 7])], max_length=4)
    assert fork.context == [3, 4, 5]
    assert len(fork) == 4


def test_examples_of_a_subject_are_one_shared_prefix() -> None:
    subjects = {subject: [subject] * 8 + [0] * 4 for subject in (1, 2)}
    requests: list[TokenizedRequest] = [
        (None, [9, *subjects[subject], 20 + question], [choice])
        for subject in (1, 2)
        for question in range(5)
        for choice in (3, 4)
    ]
    groups = group_by_prefix(forks_of(requests))
    assert [group.prefix for group in groups] == [[9, *subjects[1]], [9, *subjects[2]]]
    assert [len(group.forks) for group in groups] == [5, 5]
    assert sum(map(len, groups)) == 2 * 13 + 10


def test_a_beginning_that_saves_little_is_not_shared() -> None:
    """Long contexts that begin with the same word: attention through a mask would cost more."""
    requests: list[TokenizedRequest] = [
        (None, [1, *range(n, n + 40)], [2]) for n in (100, 200, 300)
    ]
    groups = group_by_prefix(forks_of(requests))
    assert [len(group.prefix) for group in groups] == [40, 40, 40]


def test_every_request_is_planned_once_with_its_own_tokens() -> None:
    draw = random.Random(1)
    requests: list[TokenizedRequest] = []
    for _ in range(60):
        prefix = [draw.randrange(3) for _ in range(draw.randrange(12))]
        context = [*prefix, *(draw.randrange(9) for _ in range(1 + draw.randrange(9)))]
        for _ in range(draw.randrange(1, 4)):
            requests.append(
                (None, context, [draw.randrange(9) for _ in range(1 + draw.randrange(4))])
            )
    chains = plan_passes(requests, max_length=64, batch_tokens=40)
    assert sequences(chains) == {
        number: (context, tokens) for number, (_, context, tokens) in enumerate(requests)
    }
    numbers = [number for chain in chains for one in chain for number in one.request_indices()]
    assert sorted(numbers) == list(range(len(requests)))


def test_a_large_subject_is_divided_and_its_prefix_kept() -> None:
    prefix = list(range(100, 120))
    requests: list[TokenizedRequest] = [(None, [*prefix, 1000 + n, 1, 2], [3]) for n in range(100)]
    chains = plan_passes(requests, max_length=64, batch_tokens=30)
    assert all(len(chain) <= MAX_CHAIN_PASSES for chain in chains)
    assert len(chains) > 1
    for chain in chains:
        assert [one.reuses_prefix for one in chain] == [False] + [True] * (len(chain) - 1)
        assert [one.keeps_prefix for one in chain] == [True] * (len(chain) - 1) + [False]
        assert all(len(one) <= 30 for one in chain)
    assert len(sequences(chains)) == 100


def test_a_pass_is_packed_out_as_drawn() -> None:
    """Prefix 1 2 with a fork of 3 into 4 5, 6 and 7 8; and prefix 9 with a fork of 9 into 9."""
    forks = [Fork([3], [[4, 5], [6], [7, 8, 8]], [0, 1, 2])], [Fork([9], [[9]], [3])]
    one = ForwardPass([PrefixGroup([1, 2], forks[0]), PrefixGroup([9], forks[1])])

    class Model:
        config = LlamaConfig(num_attention_heads=2, num_key_value_heads=1)
        dtype = torch.float32

    packed = PackedPass(one, Model(), torch.device("cpu"), {})
    assert packed.ids.tolist() == [[1, 2, 9, 3, 4, 7, 8, 9]]
    assert packed.positions.tolist() == [[0, 1, 0, 2, 3, 3, 4, 1]]
    assert packed.places.tolist() == [3, 4, 5, 6, 7]
    assert packed.scored.tolist() == [0, 1, 0, 0, 2, 3, 4]
    assert packed.targets.tolist() == [4, 5, 6, 7, 8, 8, 9]
    assert packed.spans == [2, 1, 3, 1]
    bias = packed._layout_on(torch.device("cpu")).bias
    seen = (bias[0, 0, :4] == 0).int().tolist()
    assert seen == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 1, 0],
        [1, 1, 1, 0, 1, 1],
    ]
    assert (bias[1, 0, 0] == 0).int().tolist() == [1, 0, 1, 0, 0, 0]
