"""The three stages in sequence, as a user runs them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from pacos.errors import EXIT_SAVED
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths

PACOS = Path(sys.executable).with_name("pacos")


def pipeline(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PACOS, "pipeline", *overrides], cwd=folder, capture_output=True, text=True, check=False
    )


def lives(run: Path) -> list[int]:
    return [Lives(RunPaths(run / stage)).count() for stage in ("selfinstruct", "sft", "eval")]


@pytest.fixture(scope="module")
def noise_model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator that writes noise, so that all candidates must be rejected."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("noise")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=49152, **sizes, **heads)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_pipeline_ends_with_a_report_and_is_not_repeated(
    noise_model: Path, tmp_path: Path
) -> None:
    overrides = [
        "experiment=demo",
        "model@sft.model=tiny",
        f"selfinstruct.generator.model={noise_model}",
        "selfinstruct.generator.name=noise",
        "selfinstruct.method.tasks.max_tokens=24",
        "selfinstruct.max_requests=4",
        "selfinstruct.seeds.heldout=4",
        "sft.max_steps=4",
        "eval.limit=2",
    ]
    # The eval baseline is a pretrained model of that name; a random one has no weights on disk.
    overrides.append(f"sft.model.path={noise_model}")
    done = pipeline(tmp_path, *overrides)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "demo"
    assert Lives(RunPaths(run)).state() is State.done
    assert lives(run) == [1, 1, 1]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    for place in ("report.html", "selfinstruct/data", "sft/model", "sft/metrics.jsonl"):
        assert place in done.stdout

    again = pipeline(tmp_path, *overrides)
    assert again.returncode == 0
    assert "already done" in again.stdout
    assert lives(run) == [1, 1, 1]

    other = pipeline(tmp_path, *overrides, "sft.optimizer.lr=1e-3")
    assert other.returncode == 2
    assert "sft.optimizer.lr" in other.stderr


def test_a_stop_during_a_stage_that_still_finishes_keeps_the_next_from_beginning(
    noise_model: Path, tmp_path: Path
) -> None:
    overrides = [
        "experiment=demo",
        f"selfinstruct.generator.model={noise_model}",
        "selfinstruct.generator.name=noise",
        "selfinstruct.method.tasks.max_tokens=4",
        "selfinstruct.max_requests=1",
    ]
    run = tmp_path / "runs" / "demo"
    front = subprocess.Popen([PACOS, "pipeline", *overrides], cwd=tmp_path)
    begun = RunPaths(run / "selfinstruct").status
    while front.poll() is None and not begun.exists():
        time.sleep(0.02)
    front.send_signal(signal.SIGINT)
    assert front.wait() == EXIT_SAVED
    assert not (run / "sft").exists()
    assert Lives(RunPaths(run)).state() is State.saved


@pytest.mark.slow
def test_the_demo_makes_a_better_model_even_when_interrupted(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo"
    front = subprocess.Popen(
        [PACOS, "pipeline", "experiment=demo"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    metrics_file = RunPaths(run / "sft").metrics
    while front.poll() is None and len(list(read_jsonl(metrics_file))) < 2:
        time.sleep(0.5)
    front.send_signal(signal.SIGINT)
    assert front.wait() == EXIT_SAVED

    done = pipeline(tmp_path, "experiment=demo")
    assert done.returncode == 0, done.stderr
    assert lives(run) == [1, 2, 1]
    rows = list(read_jsonl(RunPaths(run / "selfinstruct").data / "data.jsonl"))
    assert {row["source"] for row in rows} == {"seed", "generated"}
    comparison = read_json(RunPaths(run / "eval").eval / "comparison.json")
    (nll,) = [line for line in comparison["differences"] if line["name"] == "heldout/nll"]
    assert nll["interval"][1] < 0, "the whole 95 % interval of the change lies below zero"
