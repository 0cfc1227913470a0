"""Evaluation by several ranks: the same prompts, scores and answers as by one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvalConfig
from eval.engine import certificate
from eval.harness.results import read_suite
from eval.run import main
from pacos.configs.stage import RunConfig
from pacos.configs.suite import SuiteConfig
from pacos.errors import EXIT_DONE
from pacos.files import write_jsonl
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from tests.sft.ranks import run_ranks

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    train: shots.jsonl
    test: items.jsonl
training_split: train
test_split: test
num_fewshot: {shots}
output_type: {output_type}
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: {target}
{more}
"""
CHOICES = "doc_to_choice: choices"
ANSWERS = 'generation_kwargs: {until: ["\\n"], max_gen_toks: 8, do_sample: false}'


def item(number: int) -> dict[str, Any]:
    words = ["red", "the sea", "a house on a hill", "7"]
    return {
        "question": f"What is number {number}? " + "It is said to be so. " * (number % 5),
        "choices": [f"{word} {number}" for word in words[: 2 + number % 3]],
        "answer": number % 2,
        "text": words[number % 4],
    }


@pytest.fixture
def suite(tmp_path: Path) -> SuiteConfig:
    """Choices with examples drawn anew for each question, and without; and answers."""
    folder = tmp_path / "suite"
    folder.mkdir()
    write_jsonl(folder / "shots.jsonl", [item(n) for n in range(100, 120)])
    write_jsonl(folder / "items.jsonl", [item(n) for n in range(11)])
    tasks = {
        "drawn": ("multiple_choice", 2, "answer", CHOICES),
        "bare": ("multiple_choice", 0, "answer", CHOICES),
        "answered": ("generate_until", 1, "text", ANSWERS),
    }
    for name, (output_type, shots, target, more) in tasks.items():
        text = TASK.format(
            name=name, output_type=output_type, shots=shots, target=target, more=more
        )
        (folder / f"{name}.yaml").write_text(text)
    return SuiteConfig(name="own", folder=str(folder), tasks=list(tasks))


def evaluate(run: str) -> int:
    """What each rank does."""
    return main(["--config", f"{run}/config.yaml"])


def measured(
    config: EvalConfig, name: str, ranks: int, suite: str = "own"
) -> tuple[RunPaths, dict[str, Any]]:
    root = config.run.root
    run = open_run(replace(config, run=RunConfig(name=name, root=root), batch_tokens=200))
    codes = run_ranks(ranks, evaluate, str(run.path)) if ranks > 1 else [evaluate(str(run.path))]
    assert codes == [EXIT_DONE] * ranks
    assert Lives(run).state() is State.done
    return run, read_suite(run.eval / suite / "target").samples


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("own_process")
def test_any_number_of_ranks_gives_the_same(
    config: EvalConfig, suite: SuiteConfig, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "ITEMS_PER_SMALL_SAMPLE", 1)
    config = replace(config, suite=suite, limit=None)
    run, expected = measured(config, "one", 1)
    hashes = {line["prompt_hash"] for lines in expected.values() for line in lines}
    assert len(hashes) == 33
    other, got = measured(config, "more", ranks)
    assert got == expected, "prompts, log-likelihoods and answers, to the last digit"
    assert json.loads(other.result.read_text()) == json.loads(run.result.read_text())
    found = json.loads((run.eval / "own" / "target" / "certificate.json").read_text())
    assert found["max_difference"] < 1e-4
    assert found["items"] >= 4
    assert found["answers"] >= 4
    assert not found["flips"]
    assert not found["different_answers"]
