"""Secrets of the environment: nothing that a run writes, prints or sends to W&B holds one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from tests.faults.wandb_double import WandbDouble
from tests.selfinstruct.generator_server import GeneratorServer

SECRETS = {
    "OPENAI_API_KEY": "sk-planted-0f3a9c7d5e1b",
    "HF_TOKEN": "hf_planted8c2d7e6f5a4b",
    "WANDB_API_KEY": "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
    "AWS_SECRET_ACCESS_KEY": "planted/Aws+7c6b5a4d3e2f",
}


def run_pacos(folder: Path, environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("pacos"), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def assert_clean(what: str, content: bytes) -> None:
    for name, secret in SECRETS.items():
        assert secret.encode() not in content, f"{what} holds {name}"


@pytest.mark.slow
def test_no_stage_writes_prints_or_sends_a_secret(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    git = ["git", "-C", str(checkout)]
    subprocess.run([*git, "init", "-q"], check=True)
    remote = f"https://me:{SECRETS['HF_TOKEN']}@example.com/repo.git"
    subprocess.run([*git, "remote", "add", "origin", remote], check=True)
    with GeneratorServer() as generator, WandbDouble() as wandb:
        environment = {**os.environ, **wandb.environment(), **SECRETS}
        common = [f"run.root={tmp_path / 'runs'}"]
        said = run_pacos(
            checkout,
            environment,
            "selfinstruct",
            *("generator=server", "generator.terms=unknown", "target_rows=12", "window=4"),
            *("generator.endpoint.api_key_env=OPENAI_API_KEY", "generator.endpoint.model=scripted"),
            *(f"generator.endpoint.url={generator.url}", "seeds.heldout=4", "tracking=wandb"),
            *common,
            "run.name=data",
        )
        said += run_pacos(
            checkout,
            environment,
            "sft",
            *("model=tiny", f"data.path={tmp_path / 'runs' / 'data'}", "data.max_length=256"),
            *("batch.tokens=1024", "max_steps=2", "tracking=wandb", "precision=fp32"),
            *common,
            "run.name=model",
        )
        said += run_pacos(
            checkout,
            environment,
            "eval",
            *(f"target={tmp_path / 'runs' / 'model'}", "suite.tasks=[]", "prompt_format=chatml"),
            f"heldout={tmp_path / 'runs' / 'data' / 'data' / 'heldout.jsonl'}",
            *("tracking=wandb", *common, "run.name=scores"),
        )
        for name in ("data", "model", "scores"):
            assert Lives(RunPaths(tmp_path / "runs" / name)).state() is State.done, said
        said += run_pacos(checkout, environment, "report", str(tmp_path / "runs" / "model"))
        assert len(wandb.runs) == 3
        assert generator.headers["Authorization"] == f"Bearer {SECRETS['OPENAI_API_KEY']}"
        assert_clean("what was printed", said.encode())
        for request in wandb.received:
            assert_clean("what W&B got", request)
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        assert_clean(str(path), path.read_bytes())
