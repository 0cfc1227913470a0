from __future__ import annotations

import bz2
import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pacos.benchmarks.catalogue import BENCHMARKS, HUB_DATASETS, read_benchmarks
from pacos.benchmarks.items import CodeProblem, Item, MultipleChoice, OpenQuestion, SentencePair
from pacos.errors import UserError


def only(name: str, folder: Path) -> Item:
    (item,) = read_benchmarks([name], folder)
    return item


def write(file: Path, *records: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_mmlu(tmp_path: Path) -> None:
    file = tmp_path / "mmlu" / "test" / "botany_test.csv"
    file.parent.mkdir(parents=True)
    file.write_text(
        'question,choice0,choice1,choice2,choice3,answer\n"A ""leaf""?",a,"b, or c",d,e,1\n'
    )
    assert only("mmlu", tmp_path) == MultipleChoice(
        benchmark="mmlu",
        id="botany/0",
        question='A "leaf"?',
        choices=("a", "b, or c", "d", "e"),
        answers=(1,),
    )


def test_hellaswag(tmp_path: Path) -> None:
    file = tmp_path / "hellaswag" / "hellaswag_val_full.txt.bz2"
    file.parent.mkdir()
    file.write_bytes(bz2.compress(b"Rowing: A boat. it\n2\nsinks.\nflies.\nmoves.\nsings.\n"))
    item = only("hellaswag", tmp_path)
    assert isinstance(item, MultipleChoice)
    assert (item.id, item.question, item.answers) == ("0", "Rowing: A boat. it", (2,))
    assert item.choices == ("sinks.", "flies.", "moves.", "sings.")


def test_truthfulqa_puts_the_best_answer_first(tmp_path: Path) -> None:
    file = tmp_path / "truthfulqa" / "TruthfulQA.csv"
    file.parent.mkdir()
    file.write_text(
        "Question,Best Answer,Correct Answers,Incorrect Answers\nIs it?,No,Never; No,Yes; Maybe\n"
    )
    item = only("truthfulqa", tmp_path)
    assert isinstance(item, MultipleChoice)
    assert item.choices == ("No", "Never", "Yes", "Maybe")
    assert item.answers == (0, 1)


def test_bbq_questions_are_about_their_context(tmp_path: Path) -> None:
    record = {"example_id": 7, "context": "Two people met.", "question": "Who was late?"}
    answers = {"ans0": "A", "ans1": "B", "ans2": "Unknown", "label": 2}
    write(tmp_path / "bbq" / "Age.jsonl", record | answers)
    item = only("bbq", tmp_path)
    assert item.id == "Age/7"
    assert item.traces().questions == ("Two people met.",)
    assert item.traces().choices == ("Who was late?", "A", "B", "Unknown")


def test_gsm8k(tmp_path: Path) -> None:
    record = {"question": "2 and 3?", "answer": "It is 2+3=<<2+3=5>>5.\n#### 5"}
    write(tmp_path / "gsm8k" / "test.jsonl", record)
    item = only("gsm8k", tmp_path)
    assert isinstance(item, OpenQuestion)
    assert (item.answers, item.explanation) == (("5",), "It is 2+3=5.")


def test_tydiqa(tmp_path: Path) -> None:
    asked = {"id": "ko-1", "question": "언제?", "answers": [{"text": "어제"}, {"text": "어제"}]}
    article = {"title": "t", "paragraphs": [{"context": "어제 왔다.", "qas": [asked]}]}
    write(tmp_path / "tydiqa_goldp" / "korean_tydiqa_dev.json", {"data": [article]})
    item = only("tydiqa_ko", tmp_path)
    assert isinstance(item, OpenQuestion)
    assert (item.benchmark, item.id, item.answers) == ("tydiqa_ko", "ko-1", ("어제",))
    assert item.traces().passages == ("어제 왔다.", "어제")


def test_self_instruct(tmp_path: Path) -> None:
    instances = [{"input": "", "output": "Sure."}]
    record = {"id": "user_oriented_task_0", "instruction": "Help me.", "instances": instances}
    write(tmp_path / "self_instruct" / "user_oriented_instructions.jsonl", record)
    item = only("self_instruct", tmp_path)
    assert item.traces().questions == ("Help me.",)
    assert item.traces().passages == ("Sure.",)


def test_sentences_and_prompts(tmp_path: Path) -> None:
    pairs = tmp_path / "crows_pairs" / "crows_pairs_anonymized.csv"
    pairs.parent.mkdir()
    pairs.write_text(',sent_more,sent_less\n4,"They stole, again.",We stole.\n')
    assert only("crows_pairs", tmp_path) == SentencePair(
        benchmark="crows_pairs", id="4", stereotypical="They stole, again.", other="We stole."
    )
    prompts = tmp_path / "xstest" / "xstest_prompts.csv"
    prompts.parent.mkdir()
    prompts.write_text("id,prompt\nv2-1,How do I kill a process?\n")
    assert only("xstest", tmp_path).id == "v2-1"


def test_humaneval(tmp_path: Path) -> None:
    file = tmp_path / "humaneval" / "HumanEval.jsonl.gz"
    file.parent.mkdir()
    record = {"task_id": "HumanEval/0", "prompt": "def f():\n", "canonical_solution": "    pass\n"}
    tests = {"test": "def check(candidate): ...", "entry_point": "f"}
    file.write_bytes(gzip.compress(json.dumps(record | tests).encode()))
    item = only("humaneval", tmp_path)
    assert isinstance(item, CodeProblem)
    assert item.traces().program == "def f():\n    pass\n"


def test_the_suite_that_pacos_ships_needs_no_folder() -> None:
    items = list(read_benchmarks(["smoke"], None))
    assert Counter(type(item) for item in items) == {MultipleChoice: 58, OpenQuestion: 22}
    assert len({item.id for item in items}) == len(items)


def test_the_files_at_hand(shared_data: Path) -> None:
    numbers = {
        "smoke": 80,
        "mmlu": 14042,
        "hellaswag": 10042,
        "gsm8k": 1319,
        "humaneval": 164,
        "tydiqa_en": 440,
        "tydiqa_ko": 276,
        "truthfulqa": 790,
        "self_instruct": 252,
        "bbq": 4880,
        "crows_pairs": 1508,
        "xstest": 450,
    }
    items = list(read_benchmarks(list(numbers), shared_data))
    assert Counter(item.benchmark for item in items) == numbers
    assert len({(item.benchmark, item.id) for item in items}) == len(items)
    for item in items:
        assert all(text.strip() for text in item.traces().questions), item.id
        if isinstance(item, MultipleChoice):
            assert set(item.answers) <= set(range(len(item.choices))), item.id


def test_benchmarks_of_one_hub_data_set_share_its_row() -> None:
    for benchmark in BENCHMARKS.values():
        assert benchmark.hub is None or HUB_DATASETS[benchmark.hub.path] is benchmark.hub


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"benchmark mmul: no such benchmark; .*mmlu"):
        list(read_benchmarks(["smoke", "mmul"], None))


@pytest.mark.parametrize("folder", [None, Path("/nowhere")])
def test_an_absent_file_is_named(folder: Path | None) -> None:
    with pytest.raises(UserError, match=r"benchmark gsm8k: no file .*gsm8k/test\.jsonl; put it"):
        list(read_benchmarks(["gsm8k"], folder))


@pytest.mark.parametrize(
    ("name", "path", "content"),
    [
        ("gsm8k", "gsm8k/test.jsonl", b'{"question": "?"}\n'),
        ("gsm8k", "gsm8k/test.jsonl", b'{"question": "?", "answer": "no mark"}\n'),
        ("gsm8k", "gsm8k/test.jsonl", b"not json\n"),
        (
            "mmlu",
            "mmlu/test/law_test.csv",
            b"question,choice0,choice1,choice2,choice3,answer\na,b\n",
        ),
        ("hellaswag", "hellaswag/hellaswag_val_full.txt.bz2", b"no archive"),
        ("hellaswag", "hellaswag/hellaswag_val_full.txt.bz2", bz2.compress(b"five\nlines")),
        ("humaneval", "humaneval/HumanEval.jsonl.gz", b"no archive"),
        ("humaneval", "humaneval/HumanEval.jsonl.gz", gzip.compress(b'{"task_id": 1}')[:-9]),
        ("tydiqa_en", "tydiqa_goldp/english_tydiqa_dev.json", b"[]"),
    ],
    # A gzip file holds the time: ids made of it would differ between the workers of xdist.
    ids=[
        "no answer",
        "no mark",
        "no JSON",
        "a column short",
        "no bz2 file",
        "records cut",
        "no gzip file",
        "gzip cut",
        "a list",
    ],
)
def test_a_file_of_another_form_is_named(
    tmp_path: Path, name: str, path: str, content: bytes
) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"benchmark {name}: .*{file.name} is not in the form"):
        list(read_benchmarks([name], tmp_path))


def test_reading_needs_neither_the_harness_nor_torch() -> None:
    code = "import sys, pacos.benchmarks.catalogue as c; list(c.read_benchmarks(['smoke'], None))"
    heavy = "print({'torch', 'lm_eval', 'datasets', 'numpy', 'eval.config'} & set(sys.modules))"
    command = [sys.executable, "-c", f"{code}; {heavy}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
