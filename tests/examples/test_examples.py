"""The scripts in examples/, run as a reader runs them: in one folder and in the README's order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacos.files import read_json, read_jsonl
from pacos.tracking import metrics
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def run(script: str, folder: Path) -> str:
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", ROOT / "examples" / script],
        cwd=folder,
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_rows_become_a_model_that_answers(folder: Path) -> None:
    printed = run("finetune_own_rows.sh", folder)
    records = read_jsonl(folder / "runs/own-rows/metrics.jsonl")
    # The record of step 0 holds the validation loss before training, and no training loss.
    losses = [record[metrics.LOSS] for record in records if metrics.LOSS in record]
    assert losses[-1] < losses[0]
    assert (folder / "runs/own-rows/model/model.safetensors").is_file()
    # The last line is the report's path, the lines before it are the answer.
    assert len(printed.strip().splitlines()) > 2


def test_own_seeds_grow(folder: Path) -> None:
    printed = run("grow_own_seeds.sh", folder)
    accepted, rejected = printed.split("--- rejected\n")
    assert '"source": "generated"' in accepted.partition("--- accepted\n")[2]
    assert "reason" in rejected


def test_two_models_are_compared(folder: Path) -> None:
    run("compare_two_models.sh", folder)
    comparison = read_json(folder / "runs/compare/eval/comparison.json")
    assert {line["name"] for line in comparison["differences"]} >= {"smoke_choice_en/acc"}
    assert (folder / "runs/compare/report.html").is_file()
