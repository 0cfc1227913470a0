"""`pacos doctor` as a user types it, and what it says of programs that do not come to an end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from launch.commands import doctor
from pacos.checks import Finding, Findings, Outcome
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from sft.config import SFTConfig
from tests.conftest import Pacos

CHECKS = [
    "versions",
    "CUDA build",
    "disks",
    "model class",
    "tokenizer",
    "mask",
    "stop token",
    "attention",
    "communication",
    "ranks agree",
    "gradients",
    "resume",
]


def outcomes(text: str) -> dict[str, str]:
    """Check to outcome, from what was printed."""
    return {
        name: line.split()[0]
        for line in text.splitlines()
        for name in (*CHECKS, "ranks", "checks")
        if line[9:].startswith(f"{name}  ")
    }


def test_help_says_what_it_proves(pacos: Pacos) -> None:
    done = pacos("doctor", "--help")
    assert done.returncode == 0
    assert "usage: pacos doctor KEY=VALUE…" in done.stdout
    assert "doctor" in pacos("--help").stdout


def test_a_config_that_cannot_be_is_refused_first(pacos: Pacos, tmp_path: Path) -> None:
    done = pacos("doctor", "model=tiny", "epochs=0")
    assert done.returncode == 2
    assert "epochs = 0: must be at least 1" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_is_well_in_under_a_minute(pacos: Pacos, tmp_path: Path) -> None:
    began = time.monotonic()
    done = pacos("doctor", "model=tiny", "cluster.device=cpu", "deepspeed=zero3")
    print(f"{time.monotonic() - began:.0f} s")
    assert done.returncode == EXIT_DONE, done.stdout + done.stderr
    found = outcomes(done.stdout)
    assert list(found) == CHECKS
    assert {name for name, outcome in found.items() if outcome != "ok"} == {"CUDA build"}
    assert done.stdout.splitlines()[-1] == "12 checks: 11 ok, 1 skipped"
    assert not list(tmp_path.iterdir()), "a check leaves nothing behind"


@pytest.mark.slow
def test_what_fails_is_said_and_the_rest_is_still_proved(pacos: Pacos, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Sing.", "output": null}\n')
    overrides = ["model=tiny", "data.path=rows.jsonl", "model.pad_token='<|im_end|>'"]
    done = pacos("doctor", *overrides, "cluster.device=cpu")
    assert done.returncode == EXIT_USER_ERROR
    found = outcomes(done.stdout)
    assert found["tokenizer"] == "failed"
    assert "model.pad_token = <|im_end|>: <|im_end|> also ends an answer" in done.stdout
    assert (found["mask"], found["stop token"]) == ("skipped", "skipped")
    assert found["ranks agree"] == "failed"
    assert "rank 0: model.pad_token = <|im_end|>" in done.stdout
    assert (found["gradients"], found["resume"]) == ("ok", "ok")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return Findings(tmp_path / "findings.jsonl")


def run(program: str, findings: Findings) -> Finding:
    """What is found of a program of this text."""
    doctor._run("ranks", [sys.executable, "-c", program], SFTConfig(), findings)
    return findings.all()[-1]


def test_a_program_that_dies_is_a_finding(findings: Findings) -> None:
    found = run("print('noise'); raise RuntimeError('no such device')", findings)
    assert (found.outcome, found.message) == (Outcome.failed, "RuntimeError: no such device")
    found = run("import os; os._exit(3)", findings)
    assert (found.outcome, found.message) == (Outcome.failed, "exited without a message")


def test_ranks_that_wait_for_ever_are_a_finding(
    findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TIMEOUT_SECONDS", 0.5)
    found = run("import time; time.sleep(60)", findings)
    assert found.outcome is Outcome.failed
    assert "ranks may be waiting for each other; set NCCL_DEBUG=INFO" in found.message


def test_findings_of_a_program_are_shown(
    findings: Findings, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (
        "from pathlib import Path; from pacos.checks import *\n"
        f"findings = Findings(Path({str(findings.file)!r}))\n"
        "findings.run('shapes', lambda: 'are right')\n"
    )
    assert run(program, findings).message == "are right"
    assert capsys.readouterr().out == f"{findings.all()[0]}\n"
