"""A server that a run starts for itself, with a stand-in for vLLM."""

from __future__ import annotations

import json
import shlex
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pacos.errors import UserError
from pacos.rank import free_port
from pacos.run.own_server import OwnServer
from pacos.run.stop import Stopped, StopRequest


def shell(command: str) -> str:
    return f"sh -c {shlex.quote(command)}"


@pytest.fixture
def server() -> OwnServer:
    """One that takes a second to come up."""
    port = free_port()
    program = f"{sys.executable} -m tests.selfinstruct.generator_server --port {port}"
    command = shell(f"sleep 1; exec {program}")
    return OwnServer("generator.serve", command, f"http://127.0.0.1:{port}/v1")


def run(server: OwnServer, folder: Path, stop_asked: bool = False) -> bool:
    """Have it serve; returns whether it answered inside."""
    stop = StopRequest(folder / "STOP")
    if stop_asked:
        (folder / "STOP").touch()
    with server.running(folder / "said", stop):
        return answers(server)


def answers(server: OwnServer) -> bool:
    port = int(server.url.split(":")[2].split("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_answers_inside_and_is_gone_afterwards(server: OwnServer, tmp_path: Path) -> None:
    assert run(server, tmp_path)
    assert not answers(server)
    assert server.url in (tmp_path / "said").read_text()


def test_one_that_dies_is_told_with_its_last_words(server: OwnServer, tmp_path: Path) -> None:
    broken = replace(server, command=shell("echo CUDA out of memory >&2; exit 3"))
    with pytest.raises(UserError, match=r"(?s)ended with exit code 3.*CUDA out of memory"):
        run(broken, tmp_path)


def test_one_that_dies_at_work_is_told_instead_of_what_that_causes(
    server: OwnServer, tmp_path: Path
) -> None:
    asked = tmp_path / "end"
    program = shlex.split(server.command)[2].rpartition("exec ")[2]
    ending = f"{program} & until [ -e {asked} ]; do sleep 0.1; done; kill $!; exit 7"
    dying = replace(server, command=shell(ending))

    def work() -> None:
        with dying.running(tmp_path / "said", StopRequest(tmp_path / "STOP")):
            asked.touch()
            while answers(dying):
                time.sleep(0.1)
            time.sleep(0.5)
            raise UserError("nobody answers")

    with pytest.raises(UserError, match=r"(?s)ended with exit code 7"):
        work()


def test_what_it_leaves_behind_ends_too(server: OwnServer, tmp_path: Path) -> None:
    port = free_port()
    left = f"trap '' TERM; exec {sys.executable} -m http.server {port}"
    both = shell(f"{shell(left)} & {shlex.split(server.command)[2]}")
    assert run(replace(server, command=both), tmp_path)
    while answers(replace(server, url=f"http://127.0.0.1:{port}/v1")):
        time.sleep(0.1)


def test_it_does_not_take_itself_for_a_rank(
    server: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch in the server would wait for a launcher's group."""
    for name in ("RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("RANKING", "kept")
    told = tmp_path / "environment"
    say = f"import json, os; json.dump(dict(os.environ), open({str(told)!r}, 'w'))"
    python = shlex.join([sys.executable, "-c", say])
    assert run(replace(server, command=shell(f"{python}; {server.command}")), tmp_path)
    found = json.loads(told.read_text())
    assert found["RANKING"] == "kept"
    assert not {"RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"} & {
        *found
    }


def test_one_that_is_not_installed(server: OwnServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make setup-vllm"):
        run(replace(server, command="vllm-of-nobody serve m"), tmp_path)


def test_a_stop_while_it_loads(server: OwnServer, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(server, tmp_path, stop_asked=True)
    assert not answers(server)


def test_a_port_that_is_taken(server: OwnServer, tmp_path: Path) -> None:
    stop = StopRequest(tmp_path / "STOP")
    with (
        server.running(tmp_path / "said", stop),
        pytest.raises(UserError, match=r"answers at .* already"),
        server.running(tmp_path / "x", stop),
    ):
        raise AssertionError
