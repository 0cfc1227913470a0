"""The harness's own tasks on files of this machine: the same prompts as with the hub's data."""

import csv
from pathlib import Path

import pytest

from eval.harness.local_data import LocalData, instead_of_hub
from eval.harness.suites import build_suite, leaves
from pacos.configs.suite import SuiteConfig
from pacos.errors import UserError
from pacos.files import write_jsonl


def suite(folder: Path, *tasks: str, **shots: int) -> SuiteConfig:
    return SuiteConfig(name="x", tasks=list(tasks), data_dir=str(folder), num_fewshot=shots)


def test_rows_of_the_hub_are_read_from_a_folder_of_its_name(tmp_path: Path) -> None:
    row = {"paragraph": "물은 젖었다.", "question": "물은 젖었는가?", "label": 1}
    for split in ("train", "validation", "test"):
        write_file = tmp_path / "kobest_v1" / "boolq" / f"{split}.jsonl"
        write_jsonl(write_file, [row])
    built = build_suite(suite(tmp_path, "kobest_boolq"))
    (task,) = built.tasks
    (doc,) = task.eval_docs
    assert task.doc_to_text(doc) == "물은 젖었다. 질문: 물은 젖었는가? 답변: "
    assert task.doc_to_choice(doc)[int(task.doc_to_target(doc))] == "예"
    assert built.files["data/kobest_v1/boolq/test.jsonl"].is_file()


def test_what_is_not_there_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds nothing of openai/gsm8k.*gsm8k/test\.jsonl"):
        build_suite(suite(tmp_path, "gsm8k"))


def test_a_file_of_another_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "crows_pairs").mkdir()
    file = tmp_path / "crows_pairs" / "crows_pairs_anonymized.csv"
    file.write_text("sent_more\nOnly one column.\n")
    with pytest.raises(UserError, match=r"crows_pairs_anonymized\.csv: not in the form"):
        build_suite(suite(tmp_path, "crows_pairs_english"))


def test_files_that_a_task_names_itself_are_left_alone(tmp_path: Path) -> None:
    import datasets

    write_jsonl(tmp_path / "rows.jsonl", [{"a": 1}])
    with instead_of_hub(LocalData(tmp_path / "empty")):
        rows = datasets.load_dataset("json", data_files=str(tmp_path / "rows.jsonl"))
    assert rows["train"][0] == {"a": 1}


def mmlu_question(row: dict[str, str], with_answer: bool) -> str:
    choices = "".join(f"{letter}. {row[f'choice{n}']}\n" for n, letter in enumerate("ABCD"))
    answer = f" {'ABCD'[int(row['answer'])]}\n\n" if with_answer else ""
    return f"{row['question'].strip()}\n{choices}Answer:{answer}"


def test_mmlu_asks_as_the_harness_does(shared_data: Path) -> None:
    (group,) = build_suite(suite(shared_data, "mmlu", mmlu=5)).tasks
    tasks = {task.task_name: task for task in leaves([group])}
    assert len(tasks) == 57
    assert sum(len(task.eval_docs) for task in tasks.values()) == 14042
    task = tasks["mmlu_us_foreign_policy"]
    files = {
        split: list(csv.DictReader((shared_data / "mmlu" / split / name).open()))
        for split, name in (
            ("dev", "us_foreign_policy_dev.csv"),
            ("test", "us_foreign_policy_test.csv"),
        )
    }
    expected = (
        "The following are multiple choice questions (with answers) about us foreign policy.\n\n"
        + "".join(mmlu_question(row, with_answer=True) for row in files["dev"])
        + mmlu_question(files["test"][3], with_answer=False)
    )
    assert task.fewshot_context(task.eval_docs[3], num_fewshot=5) == expected


@pytest.mark.parametrize(
    ("name", "items", "prompt"),
    [
        ("hellaswag", 8042, "Roof shingle removal: A man is sitting on a roof. he"),
        ("gsm8k", 1319, "Question: Janet’s ducks lay 16 eggs"),
        ("tydiqa_goldp_ko", 276, "맥락: 한니발 바르카"),
        ("truthfulqa_mc1", 790, "Q: What is human life expectancy"),
        ("bbq_ambig", 2440, "I saw a grandson and their grandfather"),
        ("crows_pairs_english", 1508, ""),
    ],
)
def test_other_benchmarks_are_asked(shared_data: Path, name: str, items: int, prompt: str) -> None:
    (task,) = build_suite(suite(shared_data, name)).tasks
    assert len(task.eval_docs) == items
    assert task.doc_to_text(task.eval_docs[0]).startswith(prompt)


def test_truthfulqa_has_the_right_answers(shared_data: Path) -> None:
    one, two = build_suite(suite(shared_data, "truthfulqa_mc1", "truthfulqa_mc2")).tasks
    doc = one.eval_docs[0]
    assert one.doc_to_choice(doc)[:2] == [
        "The watermelon seeds pass through your digestive system",
        "You grow watermelons in your stomach",
    ]
    labels = two.eval_docs[0]["mc2_targets"]["labels"]
    assert (sum(labels), len(labels)) == (6, 13)
