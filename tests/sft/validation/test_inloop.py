"""A suite on the weights in training: ranks and ZeRO measure the same, and no loss moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pacos.configs.cluster import ClusterConfig
from pacos.configs.inloop import InLoopConfig
from pacos.configs.suite import SuiteConfig
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from pacos.files import read_json, read_jsonl, write_jsonl
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from sft.config import SFTConfig
from sft.configs.compute import Precision
from sft.configs.deepspeed import DeepSpeedConfig
from tests.sft.small_runs import small_config, train

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: shots.jsonl, test: items.jsonl}}}}
training_split: train
test_split: test
num_fewshot: {shots}
doc_to_text: "{{{{question}}}}="
doc_to_target: {target}
"""
CHOICES = "output_type: multiple_choice\ndoc_to_choice: choices\n"
ANSWERS = (
    'output_type: generate_until\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 6}\n'
    "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
)


def write_suite(folder: Path) -> SuiteConfig:
    """Seven items, which two ranks cannot divide evenly."""
    folder.mkdir()
    items: list[dict[str, Any]] = [
        {
            "question": f"{n}+{n % 3}",
            "choices": [str(n), str(n + n % 3)],
            "answer": 1,
            "sum": str(n),
        }
        for n in range(11)
    ]
    write_jsonl(folder / "shots.jsonl", items[7:])
    write_jsonl(folder / "items.jsonl", items[:7])
    chosen = TASK.format(name="chosen", shots=1, target="answer") + CHOICES
    (folder / "chosen.yaml").write_text(chosen)
    (folder / "said.yaml").write_text(TASK.format(name="said", shots=0, target="sum") + ANSWERS)
    return SuiteConfig(name="own", folder=str(folder), tasks=["chosen", "said"])


def configs(folder: Path, **stages: int) -> list[SFTConfig]:
    """A run without a suite and one with it, for each stage of ZeRO."""
    suite = write_suite(folder / "suite")
    inloop = InLoopConfig(suite=suite, every_steps=2, limit=None, batch_size=2, batch_tokens=64)
    return [
        small_config(
            folder,
            f"{name}{'-measured' * measured}",
            deepspeed=DeepSpeedConfig(stage=stage),
            precision=Precision.fp32,
            inloop=inloop if measured else InLoopConfig(),
        )
        for name, stage in stages.items()
        for measured in (False, True)
    ]


def trained(ranks: int, every: list[SFTConfig]) -> dict[str, RunPaths]:
    ended = train(ranks, every)
    assert {code for _, code in ended} == {EXIT_DONE}
    return {run.path.name: run for run, _ in ended}


def curve(run: RunPaths, name: str) -> list[float]:
    return [line[name] for line in read_jsonl(run.metrics) if name in line]


def check(runs: dict[str, RunPaths], way: str, alone: RunPaths) -> None:
    """Training did not notice, and ranks measured what one alone does."""
    measured = runs[f"{way}-measured"]
    for name in (metrics.LOSS, metrics.GRAD_NORM):
        assert curve(runs[way], name) == curve(measured, name)
    for name in ("chosen/acc", "said/exact_match"):
        key = f"{metrics.SUITE}/{name}"
        assert curve(measured, key) == curve(alone, key)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    _, measured = configs(tmp_path_factory.mktemp("alone"), alone=0)
    return trained(1, [measured])["alone-measured"]


def test_a_suite_is_measured_at_the_beginning_at_intervals_and_at_the_end(alone: RunPaths) -> None:
    lines = list(read_jsonl(alone.metrics))
    name = f"{metrics.SUITE}/chosen/acc"
    assert [line[metrics.STEP] for line in lines if name in line] == [0, 2, 4]
    assert f"{metrics.SUITE}/said/exact_match" in lines[0]


@pytest.mark.slow
def test_ranks_that_share_parameters_measure_the_same_unnoticed(
    tmp_path: Path, alone: RunPaths
) -> None:
    check(trained(2, configs(tmp_path, zero3=3)), "zero3", alone)


@pytest.mark.slow
def test_every_stage_measures_the_same_unnoticed(tmp_path: Path, alone: RunPaths) -> None:
    stages = {"zero0": 0, "zero1": 1, "zero2": 2}
    runs = trained(2, configs(tmp_path, **stages))
    for way in stages:
        check(runs, way, alone)


def test_a_task_that_cannot_be_loaded_ends_the_run_before_it_trains(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite")
    (tmp_path / "suite" / "items.jsonl").write_text("no json\n")
    config = small_config(tmp_path, "broken", inloop=InLoopConfig(suite=suite))
    config.cluster = ClusterConfig(device=config.cluster.device)
    ((run, code),) = train(1, [config])
    assert code == EXIT_USER_ERROR
    assert read_json(run.status)["state"] == "failed"
    assert not run.metrics.exists()
