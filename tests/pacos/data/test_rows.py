from typing import Any

import pytest

from pacos.data.example import RowError
from pacos.data.rows import read_example, reader_for


def read(record: dict[str, Any]) -> list[dict[str, str]]:
    reader = reader_for(record.keys())
    assert reader is not None
    return read_example(record, reader).messages


TURNS = [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")]
MESSAGES = [{"role": role, "content": text} for role, text in TURNS]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": MESSAGES},
        {"messages": [*MESSAGES, {"role": "user", "content": "never answered"}]},
        {
            "conversations": [
                {"from": "system", "value": ""},
                *(
                    {"from": {"user": "human", "assistant": "gpt"}[role], "value": text}
                    for role, text in TURNS
                ),
            ]
        },
        {"conversations": MESSAGES, "source": "a column of no interest"},
        {"prompt": MESSAGES[:3], "completion": MESSAGES[3:]},
    ],
)
def test_conversations_in_all_their_forms(record: dict[str, Any]) -> None:
    assert read(record) == MESSAGES


def test_an_alpaca_row_keeps_its_input_apart() -> None:
    user, answer = read({"instruction": "Name a colour.", "input": "Korea", "output": "Red."})
    assert user == {"role": "user", "content": "Name a colour.", "input": "Korea"}
    assert answer == {"role": "assistant", "content": "Red."}


def test_null_is_no_input() -> None:
    (user, _) = read({"instruction": "Sing.", "input": None, "output": "La."})
    assert user["input"] == ""


def test_a_pair_of_texts_is_a_question_and_its_answer() -> None:
    assert read({"prompt": "Q1", "completion": "A1"}) == MESSAGES[:2]


@pytest.mark.parametrize("columns", [{"messages": MESSAGES}, {"prompt": "Q1", "completion": "A1"}])
def test_a_system_column_is_the_first_turn(columns: dict[str, Any]) -> None:
    assert read({**columns, "system": "Be brief."})[0] == {
        "role": "system",
        "content": "Be brief.",
    }


def test_id_and_terms_come_along() -> None:
    record = {"instruction": "a", "output": "b", "id": 7, "lineage": {"terms": "CC0-1.0"}}
    reader = reader_for(record.keys())
    assert reader is not None
    example = read_example(record, reader)
    assert (example.id, example.terms) == ("7", "CC0-1.0")


def test_unknown_columns_have_no_reader() -> None:
    assert reader_for({"question", "answer"}) is None


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"instruction": "Sing.", "output": None}, "output = None"),
        ({"instruction": "Sing.", "output": " "}, "non-empty text"),
        ({"instruction": 3, "output": "La."}, "instruction = 3"),
        ({"instruction": "Sing.", "output": "La \ud83d"}, r"half of a character"),
        ({"messages": []}, "list of turns"),
        ({"messages": "hello"}, "list of turns"),
        ({"messages": ["hello"]}, "turn 1 = 'hello'"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role = 'tool'"),
        ({"messages": [MESSAGES[0], {"role": "assistant", "content": None}]}, "turn 2: content"),
        ({"messages": MESSAGES[:1]}, "nothing to learn"),
        ({"messages": MESSAGES[1:]}, "turn 1 is the assistant's, but must be the user's"),
        ({"messages": [MESSAGES[0], *MESSAGES]}, "turn 2 is the user's"),
        ({"prompt": "Q", "completion": ""}, "completion = ''"),
        (
            {"prompt": "content \ud83d", "completion": "A"},
            r"prompt = 'content .*half of a",
        ),
        ({"prompt": "Q", "completion": MESSAGES}, "completion = \\["),
    ],
)
def test_what_cannot_be_used_says_why(record: dict[str, Any], says: str) -> None:
    with pytest.raises(RowError, match=says):
        read(record)
