"""The recommendation of a forecast, and the fewest GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.commands.plan import as_json
from launch.plan.forecast import Forecast
from pacos.configs.compose import compose_with_problems
from sft.config import SCHEMAS, SFTConfig
from sft.estimate.data_size import data_size

GIB = 2**30
ON_8 = ("cluster=slurm", "batch.tokens=131072")


def forecast_of(*overrides: str) -> Forecast:
    config, problems = compose_with_problems(SFTConfig, SCHEMAS, overrides)
    return Forecast.of(config, data_size(config.data), problems)


def test_what_is_recommended_fits_and_is_asked_for_by_its_words(rows: str) -> None:
    words = (rows, "model=llama2_13b", "hardware=gpus_8", "cluster.gpu=H100", "deepspeed.stage=0")
    first = forecast_of(*words)
    assert first.requested.is_too_large()
    found = as_json(forecast_of(*words))["recommended"]
    again = forecast_of(*words, *found["overrides"])
    assert again.requested.fits()
    assert again.recommended is not None
    assert again.requested.memory == again.recommended.memory
    assert as_json(forecast_of(*words, *found["overrides"]))["recommended"]["overrides"] == []


def test_more_gpus_hold_less_each_and_the_fewest_are_enough(rows: str) -> None:
    words = (rows, "model=llama2_70b", *ON_8)
    few = forecast_of(*words).fewest
    assert few is not None
    nodes = few.config.cluster.nodes
    assert few.fits()
    assert not few.offloads()
    enough = forecast_of(*words, f"cluster.nodes={nodes}")
    assert enough.recommended is not None
    too_few = forecast_of(*words, f"cluster.nodes={nodes - 1}")
    assert too_few.recommended is None or too_few.recommended.offloads()


def test_hpz_wins_where_the_network_is_slow(rows: str) -> None:
    words = (rows, "model=llama2_70b", "hardware=gpus_32_70b")
    slow = as_json(forecast_of(*words, "cluster.network_gbps=100"))["recommended"]
    assert "deepspeed.parameters_per_node=false" not in slow["overrides"]
    assert any("without hpZ" in reason and "slower" in reason for reason in slow["reasons"])


def test_a_gpu_of_this_machine_is_asked_for_its_memory(
    rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-40GB, 40960'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = forecast_of(rows, "model=llama3_2_1b").machine
    assert found.name == "NVIDIA A100-SXM4-40GB"
    assert found.device_bytes == 40 * GIB
    assert found.gpu is not None
    assert found.gpu.teraflops == 311.9
