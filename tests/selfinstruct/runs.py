"""Runs of the stage with a scripted generator, in this process and in their own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from pacos.configs.compose import compose_checked
from pacos.files import read_jsonl
from pacos.run.lives import Lives
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.run import main
from tests.conftest import ROOT

SETTINGS = [
    "generator=server",
    "generator.terms=unknown",
    "generator.endpoint.model=scripted",
    "seeds.heldout=25",
    "target_rows=60",
    "max_requests=200",
    "window=8",
]

FILES = ("data.jsonl", "heldout.jsonl", "rejected.jsonl", "measures.json")
"""What a run comes to. Its card tells the hours too, which no two runs share."""


def compose(url: str, root: Path, name: str, *more: str) -> SelfInstructConfig:
    where = [f"run.root={root}", f"run.name={name}", f"generator.endpoint.url={url}"]
    return compose_checked(SelfInstructConfig, SCHEMAS, [*SETTINGS, *where, *more])


def run_here(url: str, root: Path, name: str, *more: str) -> tuple[int, RunPaths]:
    run = open_run(compose(url, root, name, *more))
    return main(["--config", str(Lives(run).next_config())]), run


def start(run: RunPaths) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "selfinstruct.run", "--config", str(run.config)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, text=True)


def answered(run: RunPaths) -> set[str]:
    return {record["key"] for record in read_jsonl(run.data / "ledger.jsonl")}


def wait_for(run: RunPaths, replies: int) -> None:
    until = time.monotonic() + 60
    while len(answered(run)) < replies:
        assert time.monotonic() < until
        time.sleep(0.02)
