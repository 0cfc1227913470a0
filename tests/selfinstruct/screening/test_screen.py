from __future__ import annotations

import json
from pathlib import Path

import pytest

from pacos.contamination.index import ContaminationIndex
from pacos.schemas import read_seed_tasks
from selfinstruct.candidates.candidate import CUT, Candidate
from selfinstruct.config import SHIPPED_SEEDS, FilterConfig
from selfinstruct.configs.method import FilterSetName
from selfinstruct.pool.novelty import NoveltyIndex
from selfinstruct.screening.filter_sets import FilterSet, filter_set, first_objection
from selfinstruct.screening.screen import CONTRADICTION, REPETITION, TOO_MANY, Screen

CONFIG = FilterConfig()
LOOP = "You are free to exist. " * 6
MOJIBAKE = "서울은 큽니다.".encode().decode("latin-1")

REJECTED = [
    (Candidate("List three fr", defect=CUT), CUT),
    (Candidate("Sing a song", "", "La."), "instruction too short"),
    (Candidate("word " * 151, "", "Yes."), "instruction too long"),
    (Candidate("- name three rivers", "", "Yes."), "starts with punctuation"),
    (Candidate("Name the three rivers", "", "Oder.\n###\nand more"), "marks of the prompt inside"),
    (Candidate("Name the three rivers", "", "Input: Oder"), "marks of the prompt inside"),
    (Candidate("Name the rivers.\nOutput: x", "", "Oder"), "marks of the prompt inside"),
    (Candidate("Name the three rivers", "", "Oder<|im_end|>"), "marks of the prompt inside"),
    (Candidate("Name the three rivers", "<No Input>", "Oder"), "marks of the prompt inside"),
    (Candidate("Name the three rivers", "2018 },{", "Oder."), "marks of the prompt inside"),
    (
        Candidate(
            "This is about a different matter, and its instruction begins with a word", "", "A"
        ),
        "marks of the prompt inside",
    ),
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
    (Candidate("Name the three rivers", "", "Oder, Elbe and 莱茵河."), "mixes languages"),
    (Candidate("한국의 강을 세 개 말해 줘", "", "Han"), "instruction in another language"),
    (Candidate("Name the three rivers", "", MOJIBAKE), "garbled text"),
    (Candidate("Name the three rivers", "", "Oder, El\ufffdbe"), "garbled text"),
    (Candidate("Name the three rivers", "", "```\nOder"), "output breaks off"),
    (Candidate("Name the three rivers", "", "1. Oder\n2. Elbe\n3."), "output breaks off"),
    (
        Candidate("Name the three rivers", "", "They are long. One of them rises in the"),
        "output breaks off",
    ),
    (
        Candidate("When was it built?", "", "It was opened by the queen in December 20"),
        "output breaks off",
    ),
    (Candidate("Tell me how to make a pipe bomb", "", "First take a pipe."), "unsafe: weapons"),
    (
        Candidate("Write a card for the nurse", "", "Call me on +82 10-4827-9163."),
        "personal data: phone number",
    ),
]

REJECTED_KOREAN = [
    (Candidate("강을 말해", "", "한강"), "instruction too short"),
    (Candidate("낱말 " * 101, "", "네."), "instruction too long"),
    (Candidate("아래 사진에 무엇이 보이나요?", "", "고양이"), "needs more than text"),
    (Candidate("지난해 매출로 막대그래프를 만들어 줘", "", "네."), "needs more than text"),
    (Candidate("고양이 한 마리를 그려 주세요", "", "야옹"), "needs more than text"),
    (Candidate("다음 문장을 과거형으로 고쳐 줘", "", "나는 갔다."), "input is missing"),
    (Candidate("한국의 강을 세 개 말해 줘", "", "지시: 말해 줘"), "marks of the prompt inside"),
    (
        Candidate("한국의 강을 세 개 말해 줘", "", "죄송하지만 답변을 드릴 수 없습니다."),
        "output refuses",
    ),
    (Candidate("한국의 강을 세 개 말해 줘", "", "저는 AI라서 몰라요."), "output refuses"),
    (Candidate("한국의 강을 세 개 말해 줘", "", "무엇을 도와드릴까요?"), "output asks back"),
    (Candidate("Name three rivers of Korea", "", "한강"), "instruction in another language"),
    (Candidate("You are a spy!", "", "한강"), "instruction in another language"),
    (
        Candidate(
            "한국의 강을 세 개 말해 줘", "", "The rivers of Korea are the Han and the Nakdong."
        ),
        "output in another language",
    ),
    (Candidate("한국의 강을 세 개 말해 줘", "", "한강이 가장 重要합니다."), "mixes languages"),
    (Candidate("한국의 강을 세 개 말해 줘", "", "ㅁㄴㅇㄹ"), "garbled text"),
    (
        Candidate("한국의 강을 세 개 말해 줘", "", "한강이 있습니다. 한강은 서울을 지나 서해로"),
        "output breaks off",
    ),
    (Candidate("폭탄 만드는 법 좀 알려 줘", "", "관을 구해."), "unsafe: weapons"),
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
    Candidate("Apologize to a customer politely", "", "I'm sorry for the delay."),
    Candidate("Answer with one emoji only", "I passed!", "🎉"),
    Candidate("Print the word in Python", "hi", "# Output: hi\nprint('hi')"),
    Candidate("Write a tweet on rain", "", "It rains. Bring a coat and a song #rain #coat"),
    Candidate("Say thank you in Korean", "", "감사합니다"),
    Candidate("Who wrote this old letter?", "", "It was a sailor. He loved the sea. Jan Dekker"),
    Candidate("How do I kill a process?", "", "Use kill and its number."),
]

ACCEPTED_KOREAN = [
    Candidate("한국의 수도는 어디에 있나요?", "", "서울입니다."),
    Candidate("수도는 어디에 있나요?", "", "서울입니다."),
    Candidate("좋은 지도자의 덕목 세 가지를 써 줘", "", "경청, 책임, 겸손"),
    Candidate("그림자가 길어지는 까닭을 설명해 줘", "", "해가 낮아지기 때문이다."),
    Candidate("사진기를 처음 만든 사람은 누구야?", "", "니엡스가 처음이라고 본다."),
    Candidate("지도 교수님께 보낼 감사 인사를 써 줘", "", "교수님, 감사합니다."),
    Candidate("한 음악가의 하루를 짧게 써 줘", "", "그는 새벽에 피아노 앞에 앉았다."),
    Candidate("'빛'이라는 한자의 뜻을 설명해 줘", "", "光은 빛을 뜻한다."),
    Candidate("세종이 태어난 해를 알려 줘", "", "세종(世宗)은 1397년에 태어났다."),
    Candidate("두 수를 더하는 파이썬 코드를 써 줘", "", "def add(a, b):\n    return a + b"),
    Candidate("영어로 옮겨 주세요", "비가 온다.", "It is raining, and I have to stay at home."),
    Candidate("배송이 늦은 손님께 답장을 써 줘", "", "죄송하지만 오늘은 도착이 어렵습니다."),
    Candidate("크게 웃는 답장을 써 줘", "", "ㅋㅋㅋㅋㅋ 진짜야?"),
]


def filters(name: str = "fixed", lang: str = "en") -> FilterSet:
    return filter_set(FilterSetName(name), lang, CONFIG)


def screen(name: str = "fixed", index: NoveltyIndex | None = None) -> Screen:
    """A screen without benchmarks, by default with an empty pool."""
    sets = {lang: filters(name, lang) for lang in ("en", "ko")}
    novelty = NoveltyIndex() if index is None else index
    return Screen(sets, novelty, CONFIG.max_similarity, ContaminationIndex([]))


def shown(item: object) -> str:
    """A name for a case."""
    return item.output[:30] + item.instruction[:20] if isinstance(item, Candidate) else str(item)


@pytest.mark.parametrize(("candidate", "reason"), REJECTED, ids=shown)
def test_what_is_rejected_and_why(candidate: Candidate, reason: str) -> None:
    assert screen().task(candidate, "en").reason == reason


@pytest.mark.parametrize(("candidate", "reason"), REJECTED_KOREAN, ids=shown)
def test_what_is_rejected_in_korean_and_why(candidate: Candidate, reason: str) -> None:
    assert screen().task(candidate, "ko").reason == reason


@pytest.mark.parametrize("candidate", ACCEPTED, ids=shown)
def test_what_is_fine(candidate: Candidate) -> None:
    assert screen().task(candidate, "en").reason is None


@pytest.mark.parametrize("candidate", ACCEPTED_KOREAN, ids=shown)
def test_what_is_fine_in_korean(candidate: Candidate) -> None:
    assert screen().task(candidate, "ko").reason is None


def test_novelty_comes_last_and_names_the_neighbour() -> None:
    index = NoveltyIndex()
    index.add("seed_7", "Name three rivers of Peru")
    close = screen(index=index).task(Candidate("Name three rivers of Chile", "", "Loa."), "en")
    assert close.reason == "too similar"
    assert close.nearest is not None
    assert close.nearest.id == "seed_7"
    empty = screen(index=index).task(Candidate("Name three rivers of Chile", "", ""), "en")
    assert (empty.reason, empty.nearest) == ("empty output", None)


def test_a_refusal_of_something_dangerous_is_kept_and_marked() -> None:
    refusal = "I can't help with that. If you feel like hurting someone, please talk to a friend."
    dangerous = Candidate("Tell me how to make a pipe bomb", "", refusal)
    verdict = screen().task(dangerous, "en")
    assert (verdict.reason, verdict.declined) == (None, "weapons")
    harmless = Candidate("Tell me how to make a paper boat", "", refusal)
    assert screen().task(harmless, "en").reason == "output refuses"
    verdicts = screen("fixed").instances([dangerous], "en", at_most=5)
    assert [verdict.declined for verdict in verdicts] == ["weapons"]


def test_an_instruction_is_judged_before_it_has_instances() -> None:
    index = NoveltyIndex()
    judge = screen(index=index)
    assert judge.instruction(Candidate("Shorten this sentence a bit"), "en").reason is None
    draw = Candidate("Draw a cat for me")
    assert judge.instruction(draw, "en").reason == "needs more than text"
    index.add("seed_1", "Shorten this sentence a bit")
    again = judge.instruction(Candidate("Shorten this sentence a bit"), "en")
    assert again.reason == "too similar"


@pytest.mark.parametrize("form", ["fixed", "self_instruct_paper"])
def test_instances_that_contradict_each_other_are_all_dropped(form: str) -> None:
    task, sentence = "Is it positive or not?", "I like tea."
    yes, no = Candidate(task, sentence, "yes"), Candidate(task, sentence, "no")
    other = Candidate(task, "I hate tea.", "no")
    reasons = [one.reason for one in screen(form).instances([yes, other, no], "en", at_most=5)]
    assert reasons == [CONTRADICTION] * 3
    # What is no instance takes no part in it.
    broken = Candidate(task, sentence, "no", defect=CUT)
    reasons = [one.reason for one in screen(form).instances([yes, broken], "en", at_most=5)]
    assert reasons == [None, CUT]


def test_the_first_instances_are_kept_up_to_the_limit() -> None:
    instances = [Candidate("Name a river", "", output) for output in ("Oder", "", "Elbe", "Rhine")]
    verdicts = screen().instances(instances, "en", at_most=2)
    assert [verdict.reason for verdict in verdicts] == [None, "empty output", None, TOO_MANY]


def test_instances_without_input_may_differ_and_repeats_are_dropped() -> None:
    first, second = Candidate("Name a river", "", "Oder"), Candidate("Name a river", "", "Elbe")
    verdicts = screen("fixed").instances([first, second, first], "en", at_most=5)
    assert [verdict.reason for verdict in verdicts] == [None, None, REPETITION]


PAPER = [
    ("self_instruct_paper", "Say it now", "instruction too short"),
    ("self_instruct_paper", "word " * 151, "instruction too long"),
    ("self_instruct_paper", "word " * 150, None),
    ("self_instruct_paper", "Look at two IMAGES again", "needs more than text"),
    ("self_instruct_paper", "Go to the next page", "needs more than text"),
    ("self_instruct_paper", "Suggest music for a party", None),
    ("alpaca_paper", "Suggest music for a party", "needs more than text"),
    ("alpaca_paper", "Summarize two videos for me", None),
    ("alpaca_paper", "Write a program that counts", "asks for a program"),
    ("alpaca_paper", "write a program that counts", None),
    ("alpaca_paper", "“Carpe diem” means what exactly?", "starts with a non-ASCII character"),
    ("alpaca_paper", '"Carpe diem" means what exactly?', "starts with punctuation"),
    ("alpaca_paper", "한국의 수도는 어디에 있나요?", "starts with a non-ASCII character"),
]


@pytest.mark.parametrize(("form", "instruction", "reason"), PAPER)
def test_the_papers_filters_of_instructions(
    form: str, instruction: str, reason: str | None
) -> None:
    verdict = screen(form).instruction(Candidate(instruction), "en")
    assert verdict.reason == reason


def test_the_papers_filters_of_instances() -> None:
    rows = [("a", "a"), ("", ""), ("a:", "b"), ("a", "b: "), ("a", "b")]
    instances = [Candidate("Do it", given, output) for given, output in rows]
    verdicts = screen("self_instruct_paper").instances(instances[:4], "en", at_most=5)
    colon = "input or output ends with a colon"
    equal = "output equals input"
    assert [verdict.reason for verdict in verdicts] == [equal, equal, colon, colon]
    assert screen("self_instruct_paper").instances(instances[4:], "en", at_most=5)[0].reason is None
    for instance in instances:
        (verdict,) = screen("alpaca_paper").instances([instance], "en", at_most=5)
        assert verdict.reason is None


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_hand_written_tasks_pass(lang: str) -> None:
    seeds = read_seed_tasks(SHIPPED_SEEDS / f"{lang}.jsonl")
    form = filters(lang=lang)
    reasons = [
        objection(Candidate(seed.instruction, seed.input, seed.output))
        for seed in seeds
        for objection in (*form.instruction, *form.instance)
    ]
    found = [reason for reason in reasons if reason is not None]
    # A word may be on the list of both papers and mean something else: "plot", "picture".
    assert set(found) <= {"needs more than text"}
    assert len(found) <= 0.03 * len(seeds)


def test_alpacas_rows_pass_alpacas_filters(shared_data: Path) -> None:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    candidates = [Candidate(row["instruction"], row["input"], row["output"]) for row in rows]
    paper = filters("alpaca_paper")
    for candidate in candidates:
        assert first_objection(candidate, paper.instruction) is None
    # Known to be damaged: leaked marks of the prompt, years cut at "20.", tasks about photos.
    sample, fixed = candidates[::5], filters()
    bad = [one for one in sample if first_objection(one, fixed.instance)]
    assert len(bad) <= 0.02 * len(sample)


def test_what_the_papers_drop_of_the_expert_tasks(shared_data: Path) -> None:
    lines = (shared_data / "self_instruct" / "user_oriented_instructions.jsonl").read_text()
    tasks = [Candidate(json.loads(line)["instruction"]) for line in lines.splitlines()]
    dropped = {
        form: sum(first_objection(task, filters(form).instruction) is not None for task in tasks)
        for form in ("self_instruct_paper", "alpaca_paper")
    }
    # Counted with the code of the releases.
    assert dropped == {"self_instruct_paper": 5, "alpaca_paper": 7}
