import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvalConfig
from eval.findings.contamination import clean_scores, find_leaks, item_of
from eval.harness.results import SuiteResult
from eval.run import main
from pacos.benchmarks.items import CodeProblem, MultipleChoice, OpenQuestion, SentencePair
from pacos.errors import EXIT_DONE
from pacos.files import read_json, write_json, write_jsonl
from pacos.lineage.records import TrainingRow, training_rows, training_sources
from pacos.run.open import open_run
from pacos.suites import SHIPPED_SUITES

QUESTIONS = [
    "Which river runs through the old town of Heidelberg before it reaches the Rhine?",
    "How many strings does a classical guitar of the nineteenth century usually have?",
    "What do beekeepers call the box in which a swarm of bees spends the winter?",
]


def result(values: list[float]) -> SuiteResult:
    docs = [{"question": text, "choices": ["one", "two"]} for text in QUESTIONS]
    lines = [
        {"doc_id": n, "doc": doc, "filter": "none", "acc": value}
        for n, (doc, value) in enumerate(zip(docs, values, strict=True))
    ]
    facts = {"results": {"t": {"acc,none": sum(values) / 3}}, "higher_is_better": {"t": {}}}
    return SuiteResult(facts, {"t": lines})


def row(instruction: str, output: str = "The Neckar.") -> TrainingRow:
    return TrainingRow("rows.jsonl:7", instruction, "", output)


def test_an_item_that_a_row_asks_is_flagged_with_the_row() -> None:
    leaks, count = find_leaks(result([1, 0, 1]), [row("Say hello."), row(QUESTIONS[0])])
    assert count == 2
    assert list(leaks) == ["t"]
    ((number, (leak,)),) = leaks["t"].items()
    assert (number, leak.row, leak.sign) == (0, "rows.jsonl:7", "13-gram")


def test_scores_are_given_without_flagged_items() -> None:
    one = result([1, 0, 1])
    leaks, _ = find_leaks(one, [row(QUESTIONS[0])])
    found = clean_scores(one, leaks, seed=1)["t/acc"]
    assert (found["items"], found["flagged"]) == (3, 1)
    assert (found["all"], found["clean"]) == (pytest.approx(2 / 3), 0.5)
    low, high = found["interval"]
    assert low <= 0.5 - 2 / 3 <= high


def test_without_a_leak_the_scores_are_the_same() -> None:
    one = result([1, 0, 1])
    found = clean_scores(one, find_leaks(one, [row("Say hello.")])[0], seed=1)["t/acc"]
    assert (found["flagged"], found["clean"], found["interval"]) == (0, found["all"], None)


@pytest.mark.parametrize(
    ("doc", "kind"),
    [
        ({"question": "Q", "context": "C", "ans0": "a", "ans1": "b"}, MultipleChoice),
        ({"query": "Q", "choices": ["a", "b"]}, MultipleChoice),
        ({"question": "Q", "mc1_targets": {"choices": ["a"], "labels": [1]}}, MultipleChoice),
        ({"question": "Q", "A": "a", "B": "b"}, MultipleChoice),
        ({"question": "Q", "answer": "a"}, OpenQuestion),
        ({"id": "3", "stem": "Which?", "choices": {"text": ["a"], "label": ["A"]}}, MultipleChoice),
        ({"sent_more": "A", "sent_less": "B"}, SentencePair),
        ({"prompt": "def f():", "canonical_solution": " pass"}, CodeProblem),
        ({"id": 3}, type(None)),
    ],
)
def test_documents_are_read_as_items(doc: dict[str, Any], kind: type) -> None:
    assert type(item_of("t", "0", doc)) is kind


def test_the_longest_text_is_the_question_where_no_column_has_a_known_name() -> None:
    doc = {"id": "7-980", "stem": QUESTIONS[0], "key": "A"}
    assert item_of("t", "0", doc) == OpenQuestion(benchmark="t", id="0", question=QUESTIONS[0])


def test_the_rows_of_a_run_are_those_that_its_config_names(tmp_path: Path) -> None:
    """One path is relative: to the folder where the run's command was typed."""
    write_jsonl(tmp_path / "a.jsonl", [{"instruction": "I", "input": "N", "output": "O"}])
    turns = [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]
    write_jsonl(tmp_path / "b.jsonl", [{"messages": turns}, {"messages": []}])
    data = {"path": str(tmp_path / "a.jsonl"), "mix": {"b.jsonl": 1.0}}
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(json.dumps({"data": data}))
    write_json(run / "manifest.json", {"folder": str(tmp_path)})
    sources = training_sources(str(run), None)
    rows = [
        (each.instruction, each.input, each.output)
        for one in sources
        for each in training_rows(one)
    ]
    assert rows == [("I", "N", "O"), ("U", "", "A")]
    assert training_sources("meta-llama/Llama-2-7b-hf", None) == []


def test_the_rows_of_a_run_are_read_with_the_options_of_its_config(tmp_path: Path) -> None:
    call = {"function": {"name": "f", "arguments": '{"x": 1}'}}
    thought = {"from": "bot", "value": "A", "thinking": "T", "tool_calls": [call]}
    dialog = [{"from": "human", "value": "U"}, thought]
    write_jsonl(tmp_path / "a.jsonl", [{"dialog": dialog}, {"text": "Once."}])
    tree = [
        {"message_id": "1", "parent_id": None, "text": "Q", "role": "prompter"},
        {"message_id": "2", "parent_id": "1", "text": "A1", "role": "assistant"},
        {"message_id": "3", "parent_id": "1", "text": "A2", "role": "assistant"},
    ]
    write_jsonl(tmp_path / "b.jsonl", tree)
    write_jsonl(tmp_path / "c.jsonl", [{"input_ids": [1, 2]}])
    run = tmp_path / "run"
    run.mkdir()
    data = {
        "path": "a.jsonl",
        "columns": {"dialog": "messages"},
        "roles": {"bot": "assistant"},
        "mix": {"b.jsonl": {"tree": "all"}, "c.jsonl": 1.0},
    }
    (run / "config.yaml").write_text(json.dumps({"data": data}))
    write_json(run / "manifest.json", {"folder": str(tmp_path)})
    rows = [
        (each.instruction, each.output)
        for one in training_sources(str(run), None)
        for each in training_rows(one)
    ]
    assert rows == [("U", 'T\nA\n{"x": 1}'), ("", "Once."), ("Q", "A1"), ("Q", "A2")]


@pytest.mark.usefixtures("own_process")
def test_a_planted_leak_is_reported_with_the_scores(
    config: EvalConfig,
    make_model: Callable[[int], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    smoke = SHIPPED_SUITES / "smoke" / "smoke_choice_en.jsonl"
    asked = [json.loads(line) for line in smoke.read_text().splitlines()]
    rows = [
        {"instruction": "Name a colour.", "output": "Blue."},
        {"instruction": asked[1]["question"], "output": "I do not know."},
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    suite = replace(config.suite, tasks=["smoke_choice_en"])
    config = replace(
        config,
        suite=suite,
        heldout=None,
        baseline=str(make_model(2)),
        training_data=str(tmp_path / "rows.jsonl"),
    )
    run = open_run(config)
    assert main(["--config", str(run.config)]) == EXIT_DONE
    report = read_json(run.eval / "contamination.json")
    assert (report["rows"], report["items"], report["flagged"]) == (2, 4, 1)
    assert list(report["leaks"]["smoke_choice_en"]) == ["1"]
    assert set(report["scores"]) == {"baseline", "target"}
    assert "1 of 4 items overlap with the 2 rows" in capsys.readouterr().out
