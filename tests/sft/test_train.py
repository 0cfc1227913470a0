"""Whole training runs: two real ranks, the real engine, started as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from pacos.errors import EXIT_SAVED
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.conftest import ROOT
from tests.sft.golden import BIN, GOLDEN, MOODS, PLACES, losses, overrides, rates, train, write_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")


@pytest.fixture(scope="module")
def straight(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    root = tmp_path_factory.mktemp("runs")
    done = train(overrides(rows, root, "straight"))
    assert done.returncode == 0, done.stderr
    return RunPaths(root / "straight")


def test_losses_are_the_golden_ones(straight: RunPaths) -> None:
    assert losses(straight) == pytest.approx(json.loads(GOLDEN.read_text()), abs=2e-4)


def test_loss_falls(straight: RunPaths) -> None:
    curve = losses(straight)
    assert sum(curve[-3:]) / 3 < sum(curve[:3]) / 3 - 0.05


def test_the_run_directory_tells_the_whole_run(straight: RunPaths) -> None:
    assert Lives(straight).state() is State.done
    records = list(read_jsonl(straight.metrics))
    assert all(0 < rate <= 1e-3 for rate in rates(straight))
    assert [record[metrics.STEP] for record in records] == list(range(1, len(records) + 1))
    assert sum(record[metrics.ROWS] for record in records) == 4 * len(PLACES) * len(MOODS)
    manifest = read_json(straight.manifest)
    assert manifest["lineage"] == {"weights": "apache-2.0", "data": ["CC0-1.0"]}
    assert len(list(straight.checkpoints.glob("step-*"))) == 2
    assert (straight.checkpoints / "latest").read_text().strip() == f"step-{len(records):06d}"


def test_the_exported_model_loads_and_stops_by_itself(straight: RunPaths) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(straight.model)
    model = AutoModelForCausalLM.from_pretrained(straight.model)
    assert model.dtype is torch.bfloat16
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert model.generation_config.eos_token_id == stop
    assert tokenizer.pad_token_id != stop
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    assert asked.endswith("<|im_start|>assistant\n")
    card = (straight.model / "README.md").read_text()
    assert "cc0-1.0" in card
    assert "This is no legal advice" in card


def test_a_finished_run_is_not_repeated(straight: RunPaths, rows: Path) -> None:
    done = train(overrides(rows, straight.path.parent, "straight"))
    assert done.returncode == 0
    assert "already done" in done.stdout
    assert Lives(straight).count() == 1


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_end(
    straight: RunPaths, rows: Path, tmp_path: Path
) -> None:
    arguments = overrides(rows, tmp_path, "cut")
    run = RunPaths(tmp_path / "cut")
    front = subprocess.Popen(
        [BIN / "pacos", "sft", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not run.metrics.exists() and front.poll() is None:
        time.sleep(0.05)
    front.send_signal(signal.SIGINT)
    _, words = front.communicate()
    assert front.returncode == EXIT_SAVED, words.decode()
    assert b"run the same command again to continue" in words
    assert Lives(run).state() is State.saved
    made = len(losses(run))
    assert 1 <= made < len(losses(straight))

    assert train(arguments).returncode == 0
    assert losses(run) == losses(straight)
    assert rates(run) == rates(straight)
    weights = [
        (folder / "model.safetensors").read_bytes() for folder in (run.model, straight.model)
    ]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_person_may_launch_the_ranks(straight: RunPaths, rows: Path, tmp_path: Path) -> None:
    launch = ["--config_file", str(ROOT / "launch" / "accelerate" / "cpu.yaml"), "-m", "sft.train"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [BIN / "accelerate", "launch", *launch, *overrides(rows, tmp_path, "typed", "max_steps=3")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert losses(RunPaths(tmp_path / "typed"))[0] == losses(straight)[0]


@pytest.mark.slow
def test_bad_rows_end_the_run_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction": "Sing.", "output": "La."}\n{"instruction": "Dance."}\n')
    done = train(overrides(path, tmp_path, "bad", "cluster.ranks_per_node=1"))
    assert done.returncode == 2
    assert "rows.jsonl:2: columns = instruction: have no answer" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 3])
def test_every_zero_stage_has_the_same_losses(
    straight: RunPaths, rows: Path, tmp_path: Path, stage: int
) -> None:
    done = train(overrides(rows, tmp_path, "stage", f"deepspeed.stage={stage}"))
    assert done.returncode == 0, done.stderr
    assert losses(RunPaths(tmp_path / "stage")) == pytest.approx(losses(straight), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 4])
def test_the_number_of_ranks_does_not_change_the_losses(
    straight: RunPaths, rows: Path, tmp_path: Path, ranks: int
) -> None:
    done = train(overrides(rows, tmp_path, "ranks", f"cluster.ranks_per_node={ranks}"))
    assert done.returncode == 0, done.stderr
    assert losses(RunPaths(tmp_path / "ranks")) == pytest.approx(losses(straight), rel=1e-5)
    assert rates(RunPaths(tmp_path / "ranks")) == rates(straight)
