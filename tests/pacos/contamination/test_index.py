from __future__ import annotations

import ast
import json
import random
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from pacos.benchmarks.catalogue import BENCHMARKS, read_benchmarks
from pacos.benchmarks.items import CodeProblem, Item, MultipleChoice, OpenQuestion
from pacos.configs.suite import SuiteConfig
from pacos.contamination.evidence import OverlapKind
from pacos.contamination.index import ContaminationIndex
from pacos.schemas import Row
from tests.conftest import ROOT
from tests.pacos.contamination.test_code_shape import RENAMED, RUNS

RIVER = "A ferry crosses a river 300 m wide at 4 m/s while the current drifts it 90 m downstream."
STORY = (
    "등대는 1897년에 섬 주민 마흔두 명이 돌을 날라 세웠고, 불은 이듬해 봄에야 켜졌다. "
    "그해 겨울 등대는 배 세 척을 구했다."
)
COLORS = ("turquoise", "a pale shade of lemon yellow", "vermilion", "ultramarine")
PHRASE = "Which of the following is true?"


def choice(number: int, question: str, *choices: str, benchmark: str = "quiz") -> MultipleChoice:
    return MultipleChoice(
        benchmark=benchmark, id=str(number), question=question, choices=choices, answers=(0,)
    )


def task(number: int, question: str, context: str = "") -> OpenQuestion:
    return OpenQuestion(benchmark="tasks", id=str(number), question=question, context=context)


ITEMS: list[Item] = [
    task(0, f"{RIVER} How fast is the current, and how long does the crossing take?"),
    task(1, "Who painted the lighthouse ceiling?"),
    task(2, "등대는 누가 세웠나요?", STORY),
    task(3, "Count: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"),
    task(4, "Solve the puzzle below.", "first context of many words, for a puzzle"),
    task(5, "Solve the puzzle below.", "second context of many words, for a puzzle"),
    choice(0, PHRASE, *COLORS),
    choice(1, PHRASE, "granite", "basalt", "marble", "slate"),
    choice(2, PHRASE, "an oak", "a birch", "a willow", "a larch"),
    choice(3, "Tin", "Sn", "Ti", "Tn", "In"),
    CodeProblem(
        benchmark="code", id="c/0", prompt=RUNS, solution="", tests="", entry_point="longest_run"
    ),
]


@pytest.fixture(scope="module")
def small() -> ContaminationIndex:
    return ContaminationIndex(ITEMS)


def row(instruction: str, given: str = "", output: str = "As you like.") -> Row:
    return Row("row", instruction, given, output)


def seen(index: ContaminationIndex, *texts: str) -> list[tuple[str, OverlapKind]]:
    (found,) = index.overlaps([row(*texts)])
    return [(f"{overlap.benchmark}/{overlap.item}", overlap.kind) for overlap in found]


def test_a_long_run_in_any_part(small: ContaminationIndex) -> None:
    for texts in ([f"Please: {RIVER}"], ["Solve.", RIVER], ["Make a puzzle.", "", RIVER.upper()]):
        assert seen(small, *texts) == [("tasks/0", OverlapKind.run)]


def test_the_words_are_those_that_both_have(small: ContaminationIndex) -> None:
    overlap = small.match(row("Now then.", f"It says that {RIVER} Is that so?"))
    assert overlap is not None
    assert overlap.words.startswith("a ferry crosses a river 300 m wide")
    assert overlap.words.endswith("90 m downstream")
    assert 0.4 < overlap.score < 0.9


def test_a_question_with_a_word_changed_here_and_there(small: ContaminationIndex) -> None:
    edited = (
        "A boat crosses a river 300 m wide at 4 m/s while the wind drifts it 90 m downstream. "
        "How fast is that current, and how long does the crossing take?"
    )
    assert seen(small, edited) == [("tasks/0", OverlapKind.gram)]
    assert seen(small, "How fast is the current, and how long does it take to cross?") == []


def test_a_short_question_where_it_is_asked(small: ContaminationIndex) -> None:
    question = "Who painted the lighthouse ceiling?"
    for texts in (
        [question],
        ["Answer this.", f"Q: {question}\nA:"],
        [f"Say: {question} Briefly."],
    ):
        assert seen(small, *texts) == [("tasks/1", OverlapKind.whole)]
    assert seen(small, "Ask me something.", "", question) == []
    assert seen(small, "Who painted the lighthouse ceiling blue?") == []


def test_korean(small: ContaminationIndex) -> None:
    assert seen(small, "등대는 누가 세웠나요?") == [("tasks/2", OverlapKind.whole)]
    excerpt = STORY.removeprefix("등대는 1897년에 ").removesuffix("배 세 척을 구했다.")
    assert seen(small, "요약하세요.", f"옛날에 {excerpt} 컸다.") == [("tasks/2", OverlapKind.run)]


def test_numbers_alone_are_none(small: ContaminationIndex) -> None:
    assert seen(small, "Sort.", "1 2 3 4 5 6 7 8 9 10 11 12 13 14", "1 2 3 4 5 6 7 8 9") == []


def test_what_two_items_ask_tells_of_neither(small: ContaminationIndex) -> None:
    assert seen(small, "Solve the puzzle below.", "A puzzle of our own.") == []


def test_a_title_is_no_question(small: ContaminationIndex) -> None:
    assert seen(small, "Write about this metal.", "Tin") == []


def test_a_phrase_tells_with_its_choices_in_any_order(small: ContaminationIndex) -> None:
    assert seen(small, PHRASE, "A) It rains. B) It snows. C) It does not.") == []
    shuffled = [COLORS[at] for at in (2, 0, 3, 1)]
    lines = "\n".join(f"{label}. {text}" for label, text in zip("ABCD", shuffled, strict=True))
    inline = " ".join(f"({label}) {text}" for label, text in zip("abcd", shuffled, strict=True))
    for asked in ([PHRASE, lines], [f"{PHRASE}\n{lines}"], [f"{PHRASE} {inline}"]):
        assert seen(small, *asked) == [("quiz/0", OverlapKind.gram)]


def test_a_solution_with_other_names(small: ContaminationIndex) -> None:
    assert seen(small, "Write code.", "", RENAMED) == [("code/c/0", OverlapKind.code)]


def test_each_item_once_and_the_surest_first(small: ContaminationIndex) -> None:
    texts = ["Who painted the lighthouse ceiling?", RIVER, f"{RENAMED}\n{RIVER}"]
    assert seen(small, *texts) == [
        ("code/c/0", OverlapKind.code),
        ("tasks/0", OverlapKind.run),
        ("tasks/1", OverlapKind.whole),
    ]


def test_many_rows_at_once_are_as_one_by_one(small: ContaminationIndex) -> None:
    rows = [row("Say hi."), row(RIVER), row("등대는 누가 세웠나요?"), row("x", "", RENAMED)]
    together = small.overlaps(rows)
    assert together == [small.overlaps([one])[0] for one in rows]
    assert [small.match(one) for one in rows] == [next(iter(one), None) for one in together]


def test_nothing_to_compare_with() -> None:
    assert ContaminationIndex([]).overlaps([row(RIVER), row("")]) == [[], []]
    assert ContaminationIndex(ITEMS).overlaps([]) == []


def test_config() -> None:
    assert SuiteConfig().benchmark_problems() == []
    assert SuiteConfig(benchmarks=["smoke"]).benchmark_problems() == []
    wrong = SuiteConfig(benchmarks=["mmul", "mmlu", "smoke"])
    assert [(problem.key, problem.value) for problem in wrong.benchmark_problems()] == [
        ("suite.benchmarks", "mmul"),
        ("suite.data_dir", None),
    ]
    absent = SuiteConfig(benchmarks=["smoke", "gsm8k"], data_dir="/nowhere")
    assert absent.benchmark_problems() == []
    assert [problem.value for problem in absent.missing_benchmark_files()] == ["gsm8k"]


# With the benchmarks themselves: what is planted is found, what Alpaca holds is as it was judged.


@dataclass(frozen=True)
class Everything:
    items: dict[str, list[Item]]
    index: ContaminationIndex


@pytest.fixture(scope="module")
def everything(shared_data: Path) -> Everything:
    at_hand = [name for name, benchmark in BENCHMARKS.items() if benchmark.files(shared_data)]
    items = list(read_benchmarks(at_hand, shared_data))
    grouped = defaultdict(list)
    for item in items:
        grouped[item.benchmark].append(item)
    return Everything(dict(grouped), ContaminationIndex(items))


def planted(item: Item, draw: random.Random, changed: float) -> Row:
    """A row with the item's question, words of it replaced, and its choices in another order."""
    words = draw.choice(item.traces().questions).split(" ")
    question = " ".join("changed" if draw.random() < changed else word for word in words)
    choices = list(item.traces().choices)
    draw.shuffle(choices)
    return row(f"Here is a question for you. {question}", "\n".join(f"- {one}" for one in choices))


def recall(everything: Everything, name: str, changed: float) -> float:
    draw = random.Random(0)
    items = draw.sample(everything.items[name], min(120, len(everything.items[name])))
    rows = [planted(item, draw, changed) for item in items]
    found = everything.index.overlaps(rows)
    hits = [
        (item.benchmark, item.id) in {(one.benchmark, one.item) for one in overlaps}
        for item, overlaps in zip(items, found, strict=True)
    ]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_questions_are_found_again(everything: Everything, name: str) -> None:
    if name not in everything.items:
        pytest.skip("its files are not at hand")
    assert recall(everything, name, changed=0) >= (0.94 if name == "tydiqa_ko" else 0.98)


@pytest.mark.parametrize("name", ["mmlu", "hellaswag", "gsm8k", "humaneval", "truthfulqa", "bbq"])
def test_questions_with_every_twentieth_word_changed(everything: Everything, name: str) -> None:
    assert recall(everything, name, changed=0.05) >= 0.9


def test_korean_passages_are_found_again(everything: Everything) -> None:
    for item in everything.items["tydiqa_ko"][:20]:
        assert isinstance(item, OpenQuestion)
        words = item.context.split(" ")
        excerpt = " ".join(words[len(words) // 3 : len(words) // 3 + 20])
        overlap = everything.index.match(row("다음 글을 요약하세요.", excerpt))
        assert overlap is not None
        assert overlap.kind is OverlapKind.run


def renamed(problem: CodeProblem) -> str:
    """The solution with other names for the function, its arguments and variables."""
    tree = ast.parse(problem.prompt + problem.solution)
    (function,) = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == problem.entry_point
    ]
    function.body = [line for line in function.body if not isinstance(line, ast.Expr)]
    own = {function.name} | {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    own |= {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    source = ast.unparse(function)
    for number, name in enumerate(sorted(own)):
        source = re.sub(rf"\b{name}\b", f"renamed_{number}", source)
    return source


def test_solutions_with_other_names_are_found_again(everything: Everything) -> None:
    hits = 0
    for item in everything.items["humaneval"]:
        assert isinstance(item, CodeProblem)
        (found,) = everything.index.overlaps([row("Write it.", "", renamed(item))])
        hits += any(one.item == item.id and one.kind is OverlapKind.code for one in found)
    assert hits >= 136, "of 164, of which 22 are too small to tell"


def judged() -> list[tuple[str, ...]]:
    """Row, item, kind and score in the document's table of what was found."""
    text = (ROOT / "docs" / "decontamination.md").read_text()
    return re.findall(r"^\| (\d+) \| (\S+) \| (\S+) \| (\d\.\d\d) \| (?:true|false)", text, re.M)


def test_alpaca_holds_what_was_judged(everything: Everything, shared_data: Path) -> None:
    records = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    rows = [Row(str(n), r["instruction"], r["input"], r["output"]) for n, r in enumerate(records)]
    found = [
        (row.id, f"{one.benchmark}/{one.item}", one.kind.value, f"{one.score:.2f}")
        for row, overlaps in zip(rows, everything.index.overlaps(rows), strict=True)
        for one in overlaps
    ]
    assert found == judged()
    assert len(found) == 3
