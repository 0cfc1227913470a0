"""The refusal of runs that cannot fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.plan.fit import compose_fitting
from pacos.errors import ConfigError
from sft.config import SFTConfig
from tests.conftest import Pacos

ON_8 = ("cluster=slurm", "batch.tokens=131072")


def test_a_config_that_cannot_fit_is_refused_with_what_would(rows: str) -> None:
    words = (rows, "model=llama2_70b", *ON_8)
    with pytest.raises(ConfigError) as raised:
        compose_fitting(SFTConfig, words)
    message = str(raised.value)
    assert "llama2_70b: does not fit" in message
    assert "H100 (assumed; see cluster.gpu) has 79.6 GiB" in message
    assert "deepspeed.stage=3 deepspeed.offload_optimizer=cpu" in message
    assert "cluster.must_fit=false" in message
    compose_fitting(SFTConfig, [*words, "cluster.must_fit=false"])
    compose_fitting(SFTConfig, [*words, "cluster.nodes=4", "hardware=gpus_32_70b"])


def test_nothing_is_left_of_a_run_that_cannot_fit(pacos: Pacos, rows: str, tmp_path: Path) -> None:
    words = (rows, "model=llama2_70b", *ON_8)
    for command in (("sft", *words), ("sft", "-m", *words, "epochs=1,2")):
        done = pacos(*command)
        assert done.returncode == 2
        assert "does not fit" in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_on_cpus_only_what_is_sure_is_refused(rows: str) -> None:
    compose_fitting(SFTConfig, [rows, "model=smollm2_135m", "cluster.device=cpu"])
    with pytest.raises(ConfigError, match="of weights and optimizer states per rank"):
        compose_fitting(SFTConfig, [rows, "model=llama2_70b", "cluster.device=cpu"])
