from __future__ import annotations

from typing import Any

import pytest

from pacos.config import PromptFormat
from selfinstruct.parse import CUT, NO_OUTPUT, Candidate, parse
from selfinstruct.prompts import BLOCKS, Layout, conversations

WHOLE = " Ask mcCoy about NASA. Then stop.\nInput: an iPhone\nOutput: Done."
TASK = Candidate("Ask mcCoy about NASA. Then stop.", "an iPhone", "Done.")


@pytest.fixture(scope="module")
def chat(tokenizer: Any) -> Layout:
    return conversations(tokenizer, PromptFormat.chatml)


def test_texts_stay_as_they_were_written() -> None:
    assert parse(WHOLE, cut=False, layout=BLOCKS) == [TASK]


def test_several_tasks_with_and_without_input() -> None:
    reply = f"{WHOLE}\n###\nInstruction: Sing.\nInput: none\nOutput: La.\n\nLa.\n###\n"
    assert parse(reply, cut=False, layout=BLOCKS) == [TASK, Candidate("Sing.", "", "La.\n\nLa.")]


def test_the_input_part_may_be_left_out() -> None:
    assert parse(" Sing.\nOutput: La.", cut=False, layout=BLOCKS) == [Candidate("Sing.", "", "La.")]


def test_a_malformed_task_loses_nothing_else() -> None:
    reply = f" no more than this\n###\nInstruction:{WHOLE}\n###\nInstruction:\n###"
    first, second, third = parse(reply, cut=False, layout=BLOCKS)
    assert first == Candidate("no more than this\n###", defect=NO_OUTPUT)
    assert second == TASK
    assert third.defect == NO_OUTPUT


def test_tasks_without_a_separator_are_still_two() -> None:
    reply = f"{WHOLE}\nInstruction:{WHOLE}"
    assert parse(reply, cut=False, layout=BLOCKS) == [TASK, TASK]


def test_a_cut_reply_loses_only_its_last_task() -> None:
    cut = parse(f"{WHOLE}\n###\nInstruction: Write\nOutput: It wa", cut=True, layout=BLOCKS)
    assert cut[0] == TASK
    assert cut[1].defect == CUT
    assert parse(f"{WHOLE}\n###", cut=True, layout=BLOCKS) == [TASK]
    assert [item.defect for item in parse("", cut=True, layout=BLOCKS)] == [CUT]


def test_a_label_inside_a_line_is_text() -> None:
    reply = " Read what says Instruction: go.\nOutput: Output: is a word."
    assert parse(reply, cut=False, layout=BLOCKS) == [
        Candidate("Read what says Instruction: go.", "", "Output: is a word.")
    ]


def test_a_conversation(chat: Layout) -> None:
    reply = "Fix this:\n\nhe go\nshe go<|im_end|>\n<|im_start|>assistant\nHe goes.<|im_end|>"
    assert parse(reply, cut=False, layout=chat) == [
        Candidate("Fix this:", "he go\nshe go", "He goes.")
    ]


def test_a_conversation_that_breaks_off(chat: Layout) -> None:
    asked = "Fix this.<|im_end|>\n<|im_start|>assistant\n"
    assert parse("Fix this.<|im_end|>", cut=False, layout=chat)[0].defect == NO_OUTPUT
    assert parse(f"{asked}He go", cut=True, layout=chat)[0].defect == CUT
    assert parse(f"{asked}He goes.", cut=False, layout=chat) == [
        Candidate("Fix this.", "", "He goes.")
    ]
    other = f"{asked}He goes.<|im_end|>\n{chat.instruction}And"
    assert parse(other, cut=True, layout=chat) == [
        Candidate("Fix this.", "", "He goes."),
        Candidate("And", defect=CUT),
    ]
