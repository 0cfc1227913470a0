"""`pacos plan` as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from launch.cli import parse
from launch.commands.plan import as_json
from launch.plan.fit import compose_fitting
from launch.plan.forecast import Forecast
from pacos.configs.compose import compose_with_problems
from pacos.errors import ConfigError, UserError
from sft.config import SCHEMAS, SFTConfig
from sft.estimate.data_size import data_size
from tests.conftest import Pacos

GIB = 2**30
ON_8 = ("cluster=slurm", "batch.tokens=131072")


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    row = json.dumps({"instruction": "Count to ten, please.", "output": "One, two, three. " * 20})
    path.write_text((row + "\n") * 2000)
    return f"data.path={path}"


def forecast_of(*overrides: str) -> Forecast:
    config, problems = compose_with_problems(SFTConfig, SCHEMAS, overrides)
    return Forecast.of(config, data_size(config.data), problems)


def answer(*overrides: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(as_json(forecast_of(*overrides))))
    return found


def test_the_command_of_the_manual(pacos: Pacos) -> None:
    done = pacos("plan", "model=llama2_70b", "cluster.nodes=4", "cluster.ranks_per_node=8")
    assert done.returncode == 0, done.stderr
    for words in ("llama2_70b", "69 B parameters", "4 x 8 H100", "recommended", "fewest"):
        assert words in done.stdout
    assert "fix before running: data.path = ???" in done.stdout.replace("\n", " ")
    assert "Chinchilla" in done.stdout


def test_json_is_one_object(pacos: Pacos) -> None:
    done = pacos("plan", "model=llama2_7b", "hardware=gpus_16", "--json", "--rows", "1000")
    found = json.loads(done.stdout)
    assert found["ranks"] == 16
    assert found["data"]["rows"] == 1000
    assert found["data"]["optimal_tokens"] == pytest.approx(21.6 * 6_738_415_616)
    assert sum(found["asked"]["device"][part] for part in ("parameters", "gradients")) > 0


def run_plan(words: Sequence[str]) -> int:
    args = parse(["plan", *words])
    code: int = args.execute(args)
    return code


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["optimizer.rl=1"], "optimizer.rl = 1: no such key"),
        (["deepspeed.stage=7"], "deepspeed.stage = 7"),
        (["cluster.gpu=V100"], "cluster.gpu = V100: no GPU"),
        (["--rows", "many"], "--rows: many: must be an integer"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrong_words_are_told(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        run_plan(words)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from launch.cli import main; sys.argv[1:] = ['plan', 'model=llama2_7b',"
        "'hardware=gpus_8', '--json']; main();"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_is_recommended_fits_and_is_asked_for_by_its_words(rows: str) -> None:
    words = (rows, "model=llama2_13b", "hardware=gpus_8", "cluster.gpu=H100", "deepspeed.stage=0")
    first = forecast_of(*words)
    assert first.requested.is_too_large()
    found = answer(*words)["recommended"]
    again = forecast_of(*words, *found["overrides"])
    assert again.requested.fits()
    assert again.recommended is not None
    assert again.requested.memory == again.recommended.memory
    assert answer(*words, *found["overrides"])["recommended"]["overrides"] == []


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
    slow = answer(*words, "cluster.network_gbps=100")["recommended"]
    assert "deepspeed.parameters_per_node=false" not in slow["overrides"]
    assert any("without hpZ" in reason and "slower" in reason for reason in slow["reasons"])


def test_cost_is_told_where_the_price_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("model=llama2_7b", "hardware=gpus_8", "cluster.gpu=H100")
    run_plan(words)
    assert "cost   set cluster.gpu_hour_usd" in capsys.readouterr().out
    run_plan([*words, "cluster.gpu_hour_usd=2.5"])
    assert "US dollars" in capsys.readouterr().out


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
