"""Memory of whole runs, as they measure it themselves, against the plan made before them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launch.plan.estimate import Estimate
from launch.plan.machine import machine_of
from pacos.configs.compose import compose_checked, compose_with_problems
from pacos.files import read_jsonl
from pacos.tracking import metrics
from sft.config import SCHEMAS, SFTConfig
from sft.estimate.data_size import data_size
from sft.estimate.memory import rank_memory
from sft.estimate.workload import Epoch

GIB = 2**30
RUNS = {
    "tiny": ["model=tiny", "cluster.ranks_per_node=2", "batch.tokens=1024"],
    "tiny fp32": ["model=tiny", "precision=fp32", "batch.tokens=1024"],
    "SmolLM2": ["model=smollm2_135m", "cluster.ranks_per_node=2", "batch.tokens=1024"],
    "SmolLM2 full": [
        *("model=smollm2_135m", "deepspeed.stage=3", "batch.tokens=1024", "batch.micro_packs=2"),
        "activation_checkpointing=full",
    ],
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    with path.open("w") as file:
        for number in range(64):
            answer = " ".join(f"The next one after it is {number + more}." for more in range(40))
            row = {"instruction": f"Count on from {number}, please.", "output": answer}
            file.write(json.dumps(row) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_cpu_ranks_need_what_was_planned(name: str, rows: Path, tmp_path: Path) -> None:
    """The second checkpoint's copy is in the third step's peak."""
    words = [
        *(f"data.path={rows}", "data.max_length=512", "cluster.device=cpu", "max_steps=3"),
        *("checkpoint.every_steps=1", f"run.root={tmp_path}", "run.name=run", *RUNS[name]),
    ]
    pacos = Path(sys.executable).with_name("pacos")
    subprocess.run([pacos, "sft", *words], check=True, capture_output=True)
    *_, last = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    config = compose_checked(SFTConfig, SCHEMAS, words)
    epoch = Epoch.of(config, data_size(config.data).lengths)
    planned = Estimate.of(config, epoch, machine_of(config.cluster)).memory
    assert planned.device_bytes() / GIB == pytest.approx(last[metrics.PEAK_MEMORY], rel=0.15)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["model=llama3_2_1b", "activation_checkpointing=selective"],
        ["model=llama3_2_1b", "activation_checkpointing=none"],
        ["model=llama3_2_3b", "activation_checkpointing=full"],
    ],
    ids=" ".join,
)
def test_a_gpu_needs_what_was_planned(words: list[str]) -> None:
    length, tokens = 2048, 8192
    words = ["data.path=none/none", "batch.tokens=131072", "cluster.device=cuda", *words]
    program = [sys.executable, "-m", "benchmarks.gpu.step", str(length), str(tokens), *words]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    config, _ = compose_with_problems(SFTConfig, SCHEMAS, words)
    work: Any = SimpleNamespace(pass_tokens=tokens)
    planned = rank_memory(config, work, gpu=True).tensor_bytes() / GIB
    assert planned == pytest.approx(measured["peak_gib"], rel=0.1)
