"""A run whose terminal is closed goes on to its end."""

from __future__ import annotations

import os
import pty
import sys
import time
from pathlib import Path

from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from tests.conftest import ROOT
from tests.pacos.llm.scripted_server import Rule
from tests.selfinstruct.generator_server import GeneratorServer


def test_a_run_outlives_its_terminal(tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "closed")
    settings = ["generator=server", "generator.terms=unknown", "generator.endpoint.model=scripted"]
    settings += ["target_rows=40", "window=4", f"run.root={tmp_path}", "run.name=closed"]
    with GeneratorServer([Rule("slow", seconds=0.2)]) as server:
        front, terminal = pty.fork()
        if front == 0:
            os.chdir(ROOT)
            command = [sys.executable, "-m", "launch.cli", "selfinstruct", *settings]
            os.execv(command[0], [*command, f"generator.endpoint.url={server.url}"])
        until = time.monotonic() + 60
        while not list(read_jsonl(run.data / "ledger.jsonl")):
            assert time.monotonic() < until
            time.sleep(0.02)
        os.close(terminal)
        _, status = os.waitpid(front, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert Lives(run).state() is State.done
    assert Lives(run).count() == 1
