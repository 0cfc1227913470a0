"""Real processes, killed at random points: nothing stored is lost or bought again."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pacos.files import read_jsonl
from tests.conftest import ROOT
from tests.pacos.llm.scripted_server import Rule, ScriptedServer

QUESTIONS = 200


def start(mode: str, url: str, folder: Path) -> subprocess.Popen[str]:
    arguments = [mode, url, str(folder), str(QUESTIONS)]
    command = [sys.executable, "-m", "tests.pacos.llm.asking", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def stored(folder: Path) -> set[str]:
    """Questions whose replies are in the ledger."""
    records = read_jsonl(folder / "ledger.jsonl")
    return {record["sent"]["prompt"][0]["content"] for record in records}


def killed(mode: str, url: str, folder: Path, after_s: float) -> set[str]:
    """The questions that are stored after a life that was killed; all it printed are."""
    process = start(mode, url, folder)
    assert process.stdout is not None
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    printed = process.stdout.readlines()
    process.wait()
    found = stored(folder)
    assert {f"question {int(line)}" for line in printed if line.endswith("\n")} <= found
    return found


def completed(mode: str, url: str, folder: Path) -> None:
    """A life that is left alone."""
    process = start(mode, url, folder)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert stored(folder) == {f"question {number}" for number in range(QUESTIONS)}


def live_sweep(folder: Path, kills: int, seed: int) -> int:
    """Kill so many lives of one run, then let it end; returns the kills that came amid it."""
    draw = random.Random(seed)
    points = 0
    bought: dict[str, int] = {}
    with ScriptedServer([Rule("slow", seconds=0.01)]) as server:
        for _ in range(kills):
            found = killed("live", server.url, folder, draw.random() / kills)
            points += 0 < len(found) < QUESTIONS
            assert {question: server.seen[question] for question in bought} == bought
            bought = {question: server.seen[question] for question in found}
        completed("live", server.url, folder)
        assert {question: server.seen[question] for question in bought} == bought
        # Asked anew is what was under way at a kill, 8 requests, or on its way to the disk.
        assert sum(server.seen.values()) <= QUESTIONS + 40 * kills
    return points


def batch_sweep(folder: Path, kills: int, seed: int) -> None:
    """Kill so many lives of one run, then let it end: every request is bought once."""
    draw = random.Random(seed)
    with ScriptedServer(looks=10) as server:
        for _ in range(kills):
            killed("batch", server.url, folder, draw.random())
        completed("batch", server.url, folder)
        assert len(server.batches.bought) == QUESTIONS
        assert set(server.batches.bought.values()) == {1}


def test_a_few_kills(tmp_path: Path) -> None:
    assert live_sweep(tmp_path, kills=3, seed=0) > 0


def test_a_few_kills_of_batches(tmp_path: Path) -> None:
    batch_sweep(tmp_path, kills=2, seed=0)


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    points = 0
    for seed in itertools.count():
        points += live_sweep(tmp_path / str(seed), kills=5, seed=seed)
        if points >= 50:
            return


@pytest.mark.slow
def test_fifty_kills_of_batches(tmp_path: Path) -> None:
    for seed in range(10):
        batch_sweep(tmp_path / str(seed), kills=5, seed=seed)
