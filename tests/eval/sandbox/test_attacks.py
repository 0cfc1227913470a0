"""Programs that try to break out of the sandbox, judged by what they did to the machine.

Each attack that is safe to run also runs without isolation, and has to succeed there: one that
fails everywhere proves nothing.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from eval.sandbox.candidate import CandidateLostError
from eval.sandbox.sandbox import Sandbox
from eval.sandbox.verdict import Outcome
from tests.eval.sandbox.attacking import assert_is_well, attack, attacks

SECRET = "alpaca-7f3a91"


# Files.


@pytest.mark.parametrize("name", attacks("reading.py"))
def test_no_file_outside_is_read(
    name: str, box: Sandbox, unguarded: Sandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text(SECRET)
    assert SECRET in str(attack(unguarded, "reading.py", name, str(secret)))
    (tmp_path / "link").unlink(missing_ok=True)
    assert SECRET not in str(attack(box, "reading.py", name, str(secret)))


@pytest.mark.parametrize("name", attacks("writing.py"))
def test_nothing_outside_is_changed(
    name: str, box: Sandbox, unguarded: Sandbox, tmp_path: Path
) -> None:
    def state(folder: Path) -> list[Any]:
        return [
            (file.name, file.lstat().st_mode, file.lstat().st_mtime_ns, file.is_file())
            + ((file.read_text(),) if file.is_file() else ())
            for file in sorted(folder.iterdir())
        ]

    folder = tmp_path / "folder"
    for sandbox, succeeds in ((unguarded, True), (box, False)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "file").write_text(SECRET)
        before = state(folder)
        attack(sandbox, "writing.py", name, str(folder / "file"))
        assert (state(folder) != before) is succeeds


# Network.


@dataclass
class Servers:
    """Servers on all kinds of addresses."""

    sockets: list[socket.socket]
    addresses: dict[str, Any]

    def heard(self) -> bool:
        ready, _, _ = select.select(self.sockets, [], [], 0.05)
        for one in ready:
            one.recv(100) if one.type == socket.SOCK_DGRAM else one.accept()[0].close()
        return bool(ready)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    path = str(tmp_path_factory.mktemp("unix") / "socket")
    name = f"pacos-{os.getpid()}"
    tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    unix, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    for one, address in (
        *((tcp, ("127.0.0.1", 0)), (udp, ("127.0.0.1", 0))),
        *((unix, path), (abstract, f"\0{name}")),
    ):
        one.bind(address)
        if one.type == socket.SOCK_STREAM:
            one.listen()
    addresses = {"tcp": tcp.getsockname(), "udp": udp.getsockname(), "unix": path, "abstract": name}
    yield Servers([tcp, udp, unix, abstract], addresses)
    for one in (tcp, udp, unix, abstract):
        one.close()


@pytest.mark.parametrize("name", attacks("network.py"))
def test_no_server_is_reached(
    name: str, box: Sandbox, unguarded: Sandbox, servers: Servers
) -> None:
    attack(unguarded, "network.py", name, **servers.addresses)
    assert servers.heard()
    attack(box, "network.py", name, **servers.addresses)
    assert not servers.heard()


# Processes.

VICTIM = """
import ctypes, sys
secret = ctypes.create_string_buffer(sys.argv[1].encode(), 64)
print(ctypes.addressof(secret), flush=True)
for line in sys.stdin:
    print(secret.value.decode(errors="replace"), flush=True)
"""


class Victim:
    """A process with a secret in its memory, its environment and an open file."""

    def __init__(self, folder: Path) -> None:
        self.file: IO[str] = (folder / "held").open("w+")
        self.file.write(SECRET)
        self.file.flush()
        self.process = subprocess.Popen(
            [sys.executable, "-c", VICTIM, SECRET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self.file.fileno()],
            env={"PACOS_SECRET": SECRET},
            text=True,
        )
        assert self.process.stdout is not None
        self.address = int(self.process.stdout.readline())

    def is_well(self) -> bool:
        """Return True if it still runs, with its priority, limits and memory unchanged."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except OSError:
            return False
        ready, _, _ = select.select([self.process.stdout], [], [], 0.3)
        alike = bool(ready) and self.process.stdout.readline().strip() == SECRET
        pid = self.process.pid
        priority = os.getpriority(os.PRIO_PROCESS, pid)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        return alike and (priority, limits) == (0, resource.getrlimit(resource.RLIMIT_NOFILE))

    def close(self) -> None:
        self.file.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    made = Victim(tmp_path)
    yield made
    made.close()


def harms(sandbox: Sandbox, name: str, victim: Victim) -> bool:
    found = attack(sandbox, "processes.py", name, victim.process.pid, victim.address)
    return SECRET in str(found) or not victim.is_well()


@pytest.mark.parametrize("name", attacks("processes.py"))
def test_no_other_process_is_harmed_or_read(name: str, box: Sandbox, victim: Victim) -> None:
    assert not harms(box, name, victim)


@pytest.mark.parametrize("name", attacks("processes.py"))
def test_processes_are_harmed_without_a_sandbox(
    name: str, unguarded: Sandbox, victim: Victim
) -> None:
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() and scope.exists() and scope.read_text().strip() != "0":
        pytest.skip("here only a parent may read or change the memory of another process")
    assert harms(unguarded, name, victim)


@pytest.mark.parametrize("target", ["os.getppid()", "-1", "0", "1", "-os.getppid()"])
def test_neither_parent_nor_all_can_be_killed(target: str, box: Sandbox) -> None:
    program = f"import os\ndef solve():\n    os.kill({target}, 9)\n    return 'killed'\n"
    with box.candidate(program, "solve") as candidate, pytest.raises(PermissionError):
        candidate.call()
    assert_is_well(box)


# Resources.

LIMITS = {
    **dict.fromkeys(("memory", "mapped_memory"), 256),
    **{"shared_memory": 0, "disk": 16, "sparse_file": 16, "files": 1024},
    **{"processes": 0, "processes_from_c": 0, "threads": 0, "sessions": 0, "descriptors": 64},
}
"""The most that a program may get of each resource."""
ENDLESS = [name for name in attacks("hogs.py") if name not in LIMITS]


@pytest.mark.parametrize("name", LIMITS)
def test_there_is_only_so_much_to_take(name: str, box: Sandbox) -> None:
    taken = attack(box, "hogs.py", name)
    assert isinstance(taken, Exception) or taken <= LIMITS[name]
    assert_is_well(box)


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_ended(name: str, quick: Sandbox) -> None:
    began = time.monotonic()
    assert isinstance(attack(quick, "hogs.py", name), Exception)
    assert time.monotonic() - began < 30, "the limit is 1 s, and the machine may be busy"
    assert_is_well(quick)


def test_what_never_ends_is_ended_without_namespaces(
    sandbox_without: Callable[..., Sandbox],
) -> None:
    with sandbox_without("namespaces", timeout_seconds=1.0) as box:
        assert isinstance(attack(box, "hogs.py", "time_deaf_to_signals"), CandidateLostError)
        assert_is_well(box)


@pytest.mark.slow
def test_a_program_that_does_not_finish_loading_is_ended(quick: Sandbox) -> None:
    with quick.candidate("while True: pass", "solve") as candidate:
        pass
    assert candidate.end is not None
    assert candidate.end.outcome is Outcome.timed_out
    assert_is_well(quick)


def test_a_program_inherits_its_channel_and_nothing_else(box: Sandbox) -> None:
    program = (
        "import os\n"
        "def solve():\n"
        "    found = {}\n"
        "    for number in range(64):\n"
        "        try:\n"
        "            found[number] = os.fstat(number).st_rdev\n"
        "        except OSError:\n"
        "            continue\n"
        "    return found\n"
    )
    with box.candidate(program, "solve") as candidate:
        null = os.stat(os.devnull).st_rdev
        assert candidate.call() == {0: null, 1: null, 2: null, 3: 0}
