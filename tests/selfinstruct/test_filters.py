from __future__ import annotations

import pytest

from pacos.schemas import read_seed_tasks
from selfinstruct.config import SHIPPED_SEEDS, FilterConfig
from selfinstruct.filters import FILTERS, judge
from selfinstruct.novelty import NoveltyIndex
from selfinstruct.parse import CUT, Candidate

CONFIG = FilterConfig()
LOOP = "You are free to exist. " * 6

REJECTED = [
    (Candidate("List three fr", defect=CUT), CUT),
    (Candidate("Sing a song", "", "La."), "instruction too short"),
    (Candidate("word " * 151, "", "Yes."), "instruction too long"),
    (Candidate("- name three rivers", "", "Yes."), "starts with punctuation"),
    (Candidate("Name the three rivers", "", "Oder.\n###\nand more"), "marks of the prompt inside"),
    (Candidate("Name the three rivers", "", "Input: Oder"), "marks of the prompt inside"),
    (Candidate("Name the rivers.\nOutput: x", "", "Oder"), "marks of the prompt inside"),
    (Candidate("Name the three rivers", "", "Oder<|im_end|>"), "marks of the prompt inside"),
    (Candidate("Describe what the picture shows", "", "A cat."), "needs more than text"),
    (Candidate("Please Go To the shop", "", "I went."), "needs more than text"),
    (Candidate("Rewrite this sentence in the past", "", "He went."), "input is missing"),
    (Candidate("Name the three rivers", "", ""), "empty output"),
    (Candidate("Name the three rivers", "", "…!"), "empty output"),
    (Candidate("Correct the grammar here", "he  goes", "he goes"), "output equals input"),
    (Candidate("Name the three rivers", "", "Name the three rivers"), "output equals instruction"),
    (Candidate("Name the three rivers", "", "The rivers are:"), "output ends with a colon"),
    (Candidate("Name the three rivers", "", LOOP), "repeats itself"),
    (Candidate("Name the three rivers", LOOP, "Oder."), "repeats itself"),
    (Candidate("Name the three rivers", "", "As an AI, I know none."), "output refuses"),
    (Candidate("Name the three rivers", "", "Well, I’m unable to."), "output refuses"),
    (Candidate("Name the three rivers", "", "Sure! What kind of river?"), "output asks back"),
    (
        Candidate("Name the three rivers", "", "El río que pasa por la ciudad de Lima."),
        "output in another language",
    ),
]

ACCEPTED = [
    Candidate("“Carpe diem”: what does it mean?", "", "Seize the day."),
    Candidate("Name the three rivers", "", "### Rivers\nOder, Elbe, Rhine"),
    Candidate("Rewrite this sentence: he go", "", "He goes."),
    Candidate("Rewrite this sentence in the past", "He goes.", "He went."),
    Candidate("Explain how mapmakers profile coasts", "", "From the sea."),
    Candidate("Turn it into capital letters", "he goes", "HE GOES"),
    Candidate("Turn it into a question", "You like tea.", "Do you like tea?"),
    Candidate("Translate it into Spanish", "the city's river", "El río de la ciudad de Lima."),
    Candidate("Write a letter to my landlord", "", "I can't reach you. When are you there?"),
    Candidate("한국의 수도는 어디에 있나요?", "", "서울입니다."),
]


@pytest.mark.parametrize(("candidate", "reason"), REJECTED, ids=lambda item: str(item)[:40])
def test_what_is_rejected_and_why(candidate: Candidate, reason: str) -> None:
    assert judge(candidate, CONFIG, NoveltyIndex()).reason == reason


@pytest.mark.parametrize("candidate", ACCEPTED, ids=lambda item: item.instruction[:40])
def test_what_is_fine(candidate: Candidate) -> None:
    assert judge(candidate, CONFIG, NoveltyIndex()).reason is None


def test_novelty_comes_last_and_names_the_neighbour() -> None:
    index = NoveltyIndex()
    index.add("seed_7", "Name three rivers of Peru")
    close = judge(Candidate("Name three rivers of Chile", "", "Loa."), CONFIG, index)
    assert close.reason == "too similar"
    assert close.nearest is not None
    assert close.nearest.id == "seed_7"
    empty = judge(Candidate("Name three rivers of Chile", "", ""), CONFIG, index)
    assert (empty.reason, empty.nearest) == ("empty output", None)


def test_hand_written_tasks_pass() -> None:
    seeds = read_seed_tasks(SHIPPED_SEEDS / "en.jsonl")
    candidates = [Candidate(seed.instruction, seed.input, seed.output) for seed in seeds]
    reasons = [objection(item, CONFIG) for item in candidates for objection in FILTERS]
    found = [reason for reason in reasons if reason is not None]
    # A word may be on the list of both papers and mean something else: "plot", "picture".
    assert set(found) <= {"needs more than text"}
    assert len(found) <= 0.03 * len(seeds)
