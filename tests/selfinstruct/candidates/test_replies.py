from __future__ import annotations

import json
from typing import Any

import pytest

from pacos.prompts.formats import PromptFormat
from selfinstruct.candidates import json_reply, text_reply
from selfinstruct.candidates.candidate import (
    CUT,
    NO_OUTPUT,
    NOT_JSON,
    WRONG_NUMBER,
    Candidate,
    normalize_input,
)
from selfinstruct.requests.prompts import ChatMarks
from selfinstruct.requests.wording import EN

WHOLE = "4. Instruction: Ask mcCoy about NASA. Then stop.\n4. Input:\nan iPhone\n4. Output:\nDone."
TASK = Candidate("Ask mcCoy about NASA. Then stop.", "an iPhone", "Done.")
SECOND = "5. Instruction: Sing.\n5. Input:\nnone\n5. Output:\nLa.\n\nLa."
SONG = Candidate("Sing.", "", "La.\n\nLa.")


def test_texts_stay_as_they_were_written() -> None:
    assert text_reply.tasks(WHOLE, cut=False) == [TASK]


def test_several_tasks_with_and_without_input() -> None:
    assert text_reply.tasks(f"{WHOLE}\n###\n{SECOND}\n###\n", cut=False) == [TASK, SONG]


@pytest.mark.parametrize(
    "text",
    [
        "**Instruction:** Sing.\n**Output:** La.",
        "### Instruction:\nSing.\n### Output:\nLa.",
        "7) instruction: Sing.\n7) output: La.",
        "지시: Sing.\n입력: 없음\n출력: La.",
    ],
)
def test_labels_in_any_dress(text: str) -> None:
    assert text_reply.tasks(text, cut=False) == [Candidate("Sing.", "", "La.")]


def test_a_malformed_task_loses_nothing_else() -> None:
    text = f"4. Instruction: no more than this\n###\n{WHOLE}\n###\n6. Instruction:\n###"
    first, second, third = text_reply.tasks(text, cut=False)
    assert (first.instruction, first.defect) == ("no more than this\n###", NO_OUTPUT)
    assert second == TASK
    assert third.defect == NO_OUTPUT


def test_a_cut_reply_loses_only_its_last_task() -> None:
    first, second = text_reply.tasks(
        f"{WHOLE}\n###\n5. Instruction: Write\n5. Output: It wa", cut=True
    )
    assert first == TASK
    assert second.defect == CUT
    assert text_reply.tasks(f"{WHOLE}\n###\n", cut=True) == [TASK]
    assert [item.defect for item in text_reply.tasks("", cut=True)] == [CUT]


def test_numbers_inside_an_answer_stay() -> None:
    text = "Instruction: When?\nOutput: In December 2020. In 20. or 16. rows\n20. is a number"
    assert text_reply.tasks(text, cut=False)[0].output.endswith("20. is a number")


def test_a_label_inside_a_line_is_text() -> None:
    text = "Instruction: Read what says Instruction: go.\nOutput: Output: is a word."
    (found,) = text_reply.tasks(text, cut=False)
    assert found == Candidate("Read what says Instruction: go.", "", "Output: is a word.")


def test_strict_numbers_lose_the_rest_of_a_reply_as_alpaca_does() -> None:
    skipped = SECOND.replace("5.", "6.")
    found = text_reply.tasks(f"{WHOLE}\n###\n{skipped}", cut=False, first=4)
    assert found[0] == TASK
    assert found[1].defect == WRONG_NUMBER
    assert text_reply.tasks(f"{WHOLE}\n###\n{skipped}", cut=False)[1] == SONG


def test_a_list_of_instructions() -> None:
    text = "9. Name three\n   rivers.\n10) Compare 16. and 20. now\n11. 서울을 소개해 줘"
    assert text_reply.instructions(text, cut=False) == [
        Candidate("Name three rivers."),
        Candidate("Compare 16. and 20. now"),
        Candidate("서울을 소개해 줘"),
    ]
    assert text_reply.instructions(text, cut=True)[-1].defect == CUT
    assert text_reply.instructions("nothing", cut=False)[0].defect == "no numbered item"


def test_json_tasks() -> None:
    tasks: list[Any] = [
        {"instruction": "Sing.", "input": "none", "output": "La."},
        {"instruction": "no output"},
        7,
    ]
    text = f"Here it is:\n```json\n{json.dumps({'tasks': tasks})}\n```"
    first, second, third = json_reply.tasks(text, cut=False)
    assert first == Candidate("Sing.", "", "La.")
    assert second.defect == third.defect == NOT_JSON
    assert json_reply.tasks("no", cut=False)[0].defect == NOT_JSON


def test_json_that_was_cut_keeps_its_whole_items() -> None:
    task = {"instruction": "Sing.", "input": "", "output": "La."}
    text = json.dumps({"tasks": [task, task]})
    assert json_reply.tasks(text[:-20], cut=True) == [Candidate("Sing.", "", "La.")]
    assert json_reply.tasks(text[:5], cut=True)[0].defect == CUT
    assert json_reply.instructions('{"instructions": ["a", "b', cut=True) == [Candidate("a")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Yes", True), (" yes.", True), ("No", False), ("예", True), ("아니요", False), ("", False)],
)
def test_yes_and_no(text: str, expected: bool) -> None:
    assert text_reply.says_yes(text) is expected


def test_instances_of_classification() -> None:
    text = "Class label: warm\nthe sun\nin May\nClass label: cold\nInput: an icicle"
    assert text_reply.labelled_instances("Warm or cold?", text, cut=False) == [
        Candidate("Warm or cold?", "the sun\nin May", "warm"),
        Candidate("Warm or cold?", "an icicle", "cold"),
    ]
    assert text_reply.labelled_instances("x", text, cut=True)[-1].defect == CUT
    assert text_reply.labelled_instances("x", "nothing", cut=False)[0].defect == NO_OUTPUT


def test_instances_of_other_tasks() -> None:
    text = "Example 1\nInput: 2 and 3\nOutput: 5\n\nExample 2\nInput: 4 and 4\nOutput: 8"
    assert text_reply.instances("Add.", text, cut=False) == [
        Candidate("Add.", "2 and 3", "5"),
        Candidate("Add.", "4 and 4", "8"),
    ]
    assert text_reply.instances("Sing.", "Output: La.", cut=False) == [
        Candidate("Sing.", "", "La.")
    ]
    assert text_reply.instances("Sing.", "La.", cut=False)[0].defect == NO_OUTPUT


def test_json_instances() -> None:
    text = '{"instances": [{"label": "warm", "input": "the sun"}, {"input": "x"}]}'
    first, second = json_reply.instances("Warm?", text, cut=False, output="label")
    assert first == Candidate("Warm?", "the sun", "warm")
    assert second.defect == NOT_JSON


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> ChatMarks:
    return ChatMarks.of(tokenizer, PromptFormat.chatml, EN)


def test_a_conversation(chat: ChatMarks) -> None:
    reply = "Fix this:\n\nhe go\nshe go<|im_end|>\n<|im_start|>assistant\nHe goes.<|im_end|>"
    expected = [Candidate("Fix this:", "he go\nshe go", "He goes.")]
    assert text_reply.conversation(reply, chat, cut=False) == expected


def test_a_conversation_that_breaks_off(chat: ChatMarks) -> None:
    asked = "Fix this.<|im_end|>\n<|im_start|>assistant\n"
    assert text_reply.conversation("Fix this.<|im_end|>", chat, cut=False)[0].defect == NO_OUTPUT
    assert text_reply.conversation(f"{asked}He go", chat, cut=True)[0].defect == CUT
    expected = [Candidate("Fix this.", "", "He goes.")]
    assert text_reply.conversation(f"{asked}He goes.", chat, cut=False) == expected
    assert text_reply.conversation(f"{asked}He goes.<|im_end|>\nmore", chat, cut=True) == expected


@pytest.mark.parametrize("text", ["…", "...", "None.", "< noinput >", "N/A", "(없음)", "입력 없음"])
def test_an_input_that_says_that_there_is_none(text: str) -> None:
    assert normalize_input(text) == ""


@pytest.mark.parametrize("text", ["<", "+", "Wait…", "none of them", "3.5"])
def test_an_input_that_is_one(text: str) -> None:
    assert normalize_input(text) == text
