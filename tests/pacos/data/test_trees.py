from collections.abc import Iterable
from typing import Any

import pytest

from pacos.data.example import Conversation, Example, RowError
from pacos.data.reading.trees import conversations, is_tree_message
from pacos.data.rows import RowReader
from pacos.data.source_config import SourceConfig, Tree


def message(name: str, parent: str | None, **keys: Any) -> dict[str, Any]:
    """A message whose id tells its role: `a…` for answers."""
    role = "assistant" if name.startswith("a") else "prompter"
    return {"message_id": name, "parent_id": parent, "text": name, "role": role, **keys}


FOREST = [
    message("q1", None, lang="en"),
    message("a1", "q1", rank=1),
    message("a2", "q1", rank=0),
    message("q2", "a2"),
    # Before its parent, as in files that are sorted by time of review.
    message("a3", "q3"),
    message("q3", "a1"),
    message("a4", "q2", rank=1),
    message("a5", "q2", rank=0),
    message("q4", "a5"),
    message("q5", None),
    message("a6", "q5", deleted=True),
    message("a7", "q5", deleted=None),
    message("q6", None),
]


def read(records: Iterable[Any], tree: Tree) -> list[tuple[int, Example | RowError]]:
    reader = RowReader.of(SourceConfig(path="oasst.jsonl", tree=tree, ignore=["review"]))
    return [
        (number, item if isinstance(item, RowError) else reader.read(item, filled=False))
        for number, item in conversations(iter(enumerate(records, start=1)), tree)
    ]


def talks(examples: list[tuple[int, Example | RowError]]) -> list[tuple[int, str, list[int]]]:
    found = []
    for number, example in examples:
        assert isinstance(example, Example)
        assert isinstance(example.content, Conversation)
        texts = " ".join(turn["content"] for turn in example.content.turns)
        found.append((number, texts, sorted(example.content.untrained)))
    return found


def test_the_best_path_follows_the_best_reply_at_each_turn() -> None:
    examples = read(FOREST, Tree.best)
    assert talks(examples) == [(8, "q1 a2 q2 a5", []), (12, "q5 a7", [])]
    first = examples[0][1]
    assert isinstance(first, Example)
    assert (first.id, first.unread) == ("a5", ("lang",))
    assert first.notes == (
        "messages left out because they, or one before them, are deleted: 1",
        "trees left out because they have no answer: 1",
        "ends with an unanswered turn, which is left out",
        "is the best path of its tree; data.tree=all takes the others too",
    )


def test_all_paths_train_each_answer_once() -> None:
    examples = read(FOREST, Tree.all)
    assert talks(examples) == [
        (8, "q1 a2 q2 a5", []),
        (7, "q1 a2 q2 a4", [1]),
        (5, "q1 a1 q3 a3", []),
        (12, "q5 a7", []),
    ]


@pytest.mark.parametrize("tree", Tree)
def test_every_answer_of_a_deep_tree_is_reached_without_recursion(tree: Tree) -> None:
    deep = [message("q0", None)]
    for number in range(1, 1500):
        name = f"{'qa'[number % 2]}{number}"
        deep.append(message(name, deep[-1]["message_id"]))
    ((_, example),) = read(deep, tree)
    assert isinstance(example, Example)
    assert isinstance(example.content, Conversation)
    assert len(example.content.turns) == 1500


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (message("a9", "q9"), 'parent_id = "q9": leads to no first message'),
        (message("a1", "q1"), 'message_id = "a1": is also the id of record 2'),
        (message("a9", "q1", text=" "), 'text = " ": must be a non-empty text'),
        (message("a9", "q1", role="narrator"), 'role = "narrator": is no role in a tree'),
        (message("a9", "q1", rank="best"), 'rank = "best": must be a number'),
        (message("a9", "a9"), 'parent_id = "a9": leads to no first message'),
        ({"instruction": "x", "output": "y"}, "columns = instruction, output: are not those of"),
        (RowError("not JSON"), "not JSON"),
    ],
)
def test_a_bad_message_is_refused_and_the_others_remain(bad: Any, says: str) -> None:
    records = [message("q1", None), message("a1", "q1"), bad]
    examples = read(records, Tree.all)
    errors = [(number, item) for number, item in examples if isinstance(item, RowError)]
    ((number, error),) = errors
    assert number == 3
    assert says in str(error)
    assert talks([pair for pair in examples if pair not in errors]) == [(2, "q1 a1", [])]


def test_messages_of_trees_are_known_by_their_columns() -> None:
    assert is_tree_message(FOREST[0])
    assert not is_tree_message({"text": "Once.", "role": "user"})
    assert not is_tree_message(RowError("not JSON"))
