import pytest
import torch

from eval.trees import LaidOut, make_trees
from pacos.errors import UserError


def test_choices_share_their_context() -> None:
    context = [1, 2, 3]
    trees = make_trees([(None, context, [4]), (None, context, [5, 6]), (None, [1], [7])], 16)
    assert [len(tree) for tree in trees] == [4, 1]
    assert [tree.numbers for tree in trees] == [[0, 1], [2]]


def test_a_continuation_without_a_token_is_named() -> None:
    with pytest.raises(UserError, match=r"answer B.*0 tokens of its own"):
        make_trees([(("question", "answer B"), [1, 2], [])], 16)


def test_a_long_context_loses_its_left_end() -> None:
    (tree,) = make_trees([(None, [1, 2, 3, 4, 5], [6, 7])], max_length=4)
    assert tree.context == [3, 4, 5]
    assert len(tree) == 4


def test_a_forward_pass_is_laid_out_as_drawn() -> None:
    requests = [(None, [1, 2], [3, 4]), (None, [1, 2], [5]), (None, [1, 2], [6, 7, 8])]
    laid = LaidOut.of(make_trees([*requests, (None, [9], [9])], 16), torch.device("cpu"))
    assert laid.ids.tolist() == [[1, 2, 3, 6, 7], [9, 0, 0, 0, 0]]
    assert laid.positions.tolist()[0] == [0, 1, 2, 2, 3]
    assert laid.visible[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 0, 1, 1],
    ]
    assert laid.rows.tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert laid.columns.tolist() == [1, 2, 1, 1, 3, 4, 0]
    assert laid.targets.tolist() == [3, 4, 5, 6, 7, 8, 9]
