"""The command as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Pacos

STAGES = ["selfinstruct", "sft", "eval", "pipeline"]


@pytest.mark.parametrize("command", [[], *([stage] for stage in STAGES), ["report"]])
def test_help_names_what_there_is(pacos: Pacos, command: list[str]) -> None:
    done = pacos(*command, "--help")
    assert done.returncode == 0
    assert "usage: pacos" in done.stdout


def test_help_shows_keys_with_their_meaning(pacos: Pacos) -> None:
    text = pacos("sft", "--help").stdout
    assert "optimizer.lr = 2e-05  (float)\n      Peak learning rate." in text
    assert "llama2_70b" in text
    assert "smollm2_135m (default)" in text


def test_every_config_problem_is_reported_and_nothing_is_left(pacos: Pacos, tmp_path: Path) -> None:
    done = pacos("sft", "optimzer.lr=1", "epochs=many", "data.max_length=100000")
    assert done.returncode == 2
    for key in ("optimzer.lr = 1", "epochs = many", "data.max_length = 100000", "data.path = ???"):
        assert f"  {key}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_command_is_refused(pacos: Pacos) -> None:
    done = pacos("train")
    assert done.returncode == 2
    assert "sft" in done.stderr


def test_cfg_job_prints_the_composed_config(pacos: Pacos, tmp_path: Path) -> None:
    done = pacos("sft", "--cfg", "job", "model=llama2_7b", "optimizer.lr=1e-5")
    assert done.returncode == 0
    assert "lr: 1.0e-05" in done.stdout
    assert "name: llama2_7b" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_sweep_with_a_bad_point_does_not_start(pacos: Pacos, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    done = pacos("sft", "-m", "data.path=rows.jsonl", "epochs=1,0")
    assert done.returncode == 2
    assert "epochs = 0: must be at least 1" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_rank_is_refused(pacos: Pacos) -> None:
    done = pacos("sft", "data.path=x", RANK="1", LOCAL_RANK="1", WORLD_SIZE="2")
    assert done.returncode == 2
    assert "-m sft.train" in done.stderr


def test_slurm_without_sbatch_says_so(pacos: Pacos, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    done = pacos(
        "sft", "cluster=slurm", "data.path=rows.jsonl", "batch.tokens=65536", PATH="/nonexistent"
    )
    assert done.returncode == 2
    assert "login node" in done.stderr
