"""Programs that try to break out of the sandbox, judged by what they did to the machine.

Each attack that can be let loose runs without isolation too, and has to succeed there: one that
would fail anywhere shows nothing.
"""

from __future__ import annotations

import ast
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

from eval.sandbox.box import Sandbox
from eval.sandbox.candidate import CandidateLostError
from eval.sandbox.grade import grade
from eval.sandbox.verdict import Outcome
from pacos.benchmarks.catalogue import read_benchmarks
from pacos.benchmarks.items import CodeProblem
from tests.eval.sandbox.process_tree import descendants

ATTACKS = Path(__file__).parent / "attacks"
FORGERIES = sorted(path.stem for path in (ATTACKS / "forgeries").glob("*.py"))
SECRET = "alpaca-7f3a91"


def attacks(file: str) -> list[str]:
    """The attacks in a file."""
    body = ast.parse((ATTACKS / file).read_text()).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return [name for name in functions if not name.startswith("_")]


def attack(sandbox: Sandbox, file: str, name: str, *arguments: Any, **named: Any) -> Any:
    """What an attack returned, or the exception that it ended with."""
    with sandbox.candidate((ATTACKS / file).read_text(), name) as candidate:
        assert candidate.end is None, candidate.end
        try:
            return candidate.call(*arguments, **named)
        except Exception as error:  # noqa: BLE001  # programs raise anything
            return error


@pytest.fixture(
    scope="module",
    params=[(), ("namespaces",), ("landlock",)],
    ids=["all layers", "no namespaces", "no Landlock"],
)
def box(request: pytest.FixtureRequest, sandbox_without: Callable[..., Sandbox]) -> Iterator[Any]:
    """A sandbox here, and on machines that lack one of the two layers that keep files away."""
    with sandbox_without(*request.param, memory_mib=256, timeout_seconds=5.0) as made:
        lacking = {name for name, reason in made.isolation.layers.items() if reason}
        assert lacking == set(request.param)
        yield made


@pytest.fixture(scope="module")
def quick(sandbox_without: Callable[..., Sandbox]) -> Iterator[Sandbox]:
    with sandbox_without(memory_mib=256, timeout_seconds=1.0) as made:
        yield made


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
    """Listens on all kinds of addresses."""

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
        """Whether it runs on, at its own pace, with its memory as it was."""
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
"""The most of each that there is to be had."""
ENDLESS = [name for name in attacks("hogs.py") if name not in LIMITS]


@pytest.mark.parametrize("name", LIMITS)
def test_there_is_only_so_much_to_take(name: str, box: Sandbox, tmp_path: Path) -> None:
    before = (shutil.disk_usage("/").used, processes())
    taken = attack(box, "hogs.py", name)
    assert isinstance(taken, Exception) or taken <= LIMITS[name]
    assert shutil.disk_usage("/").used - before[0] < 100 << 20
    assert processes() - before[1] < 50
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


@pytest.mark.parametrize("top_level", ["while True: pass", "import time\ntime.sleep(3600)"])
def test_a_program_that_does_not_finish_loading_is_ended(top_level: str, quick: Sandbox) -> None:
    with quick.candidate(top_level, "solve") as candidate:
        pass
    assert candidate.end is not None
    assert candidate.end.outcome is Outcome.timed_out
    assert_is_well(quick)


def processes() -> int:
    return sum(name.isdigit() for name in os.listdir("/proc"))


def assert_is_well(box: Sandbox) -> None:
    """Nothing of an earlier program is left, and the next one works."""
    program = "import os\ndef solve():\n    return os.listdir('.') if os.getcwd() != '/' else []\n"
    with box.candidate(program, "solve") as candidate:
        assert candidate.call() == []
    left = descendants(box._server.pid)
    assert len(left) <= 1, f"besides the server there is {left}"


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


# Verdicts.

EXACT = CodeProblem(
    benchmark="humaneval",
    id="exact",
    prompt='def solve(x):\n    """The square."""\n',
    solution="    return x * x\n",
    tests=(
        "def check(candidate):\n"
        "    assert candidate(2) == 4\n"
        "    assert candidate(3) == 9\n"
        "    assert isinstance(candidate(5), int)\n"
    ),
    entry_point="solve",
)
NEAR = CodeProblem(
    benchmark="humaneval",
    id="near",
    prompt=EXACT.prompt,
    solution=EXACT.solution,
    tests="def check(candidate):\n    assert abs(candidate(2) - 4) < 1e-6\n",
    entry_point="solve",
)
HARNESS = """
import sys
verdict = []
try:
    exec(sys.argv[1], {})
    verdict.append("passed")
except (Exception, SystemExit) as error:
    verdict.append("failed")
    if not isinstance(error, SystemExit):
        print(verdict[0])
        sys.exit(1)
print(verdict[0])
"""
"""Tests and answer in one process, as graders usually have them: a verdict by word or exit code."""


def forgery(name: str) -> str:
    return (ATTACKS / "forgeries" / f"{name}.py").read_text()


@pytest.mark.parametrize("name", FORGERIES)
def test_no_verdict_is_forged(name: str, box: Sandbox) -> None:
    for problem in (EXACT, NEAR):
        assert not grade(box, problem, forgery(name)).passed
    assert_is_well(box)


@pytest.mark.parametrize("name", FORGERIES)
def test_verdicts_are_forged_where_answer_and_tests_share_a_process(name: str) -> None:
    def passes(problem: CodeProblem) -> bool:
        program = f"{forgery(name)}\n{problem.tests}\ncheck({problem.entry_point})"
        done = subprocess.run(
            [sys.executable, "-S", "-c", HARNESS, program], capture_output=True, check=False
        )
        return done.returncode == 0 or b"passed" in done.stdout

    assert passes(EXACT) or passes(NEAR)


def message(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        (message(b'{"passed": true}'), Outcome.malformed),
        (message(b'"passed"'), Outcome.malformed),
        (message(b"passed"), Outcome.malformed),
        (message(b"\xff\xfe"), Outcome.malformed),
        (message(b"[" * 500_000), Outcome.malformed),
        (
            message(b'{"returned": ' + b'["list",' * 5000 + b"1" + b"]" * 5000 + b"}"),
            Outcome.malformed,
        ),
        (message(b'{"returned": ' + b"9" * 10_000 + b"}"), Outcome.malformed),
        (message(b'{"returned": ["int", "no"]}'), Outcome.malformed),
        (message(b'{"returned": ["dict", 1]}'), Outcome.malformed),
        (message(b'{"returned": ["set", ["list"]]}'), Outcome.malformed),
        (message(b'{"returned": ["object", "x"]}'), Outcome.malformed),
        (message(b'{"returned": ["complex", "1", 2.0]}'), Outcome.malformed),
        (message(b'{"returned": [["list"], 1]}'), Outcome.malformed),
        (message(b'{"returned": []}'), Outcome.malformed),
        (message(b'{"returned": {"x": 1}}'), Outcome.malformed),
        (message(b'{"raised": ["passed"]}'), Outcome.malformed),
        (message(b'{"raised": [1, 2]}'), Outcome.malformed),
        (message(b'{"raised": ["SystemExit", "0"]}'), Outcome.raised),
        (message(b'{"raised": ["KeyboardInterrupt", ""]}'), Outcome.raised),
        (message(b'{"raised": ["UnicodeDecodeError", ""]}'), Outcome.raised),
        (message(b'{"raised": ["print", "x"]}'), Outcome.raised),
        (message(b'{"returned": ["opaque", "x"]}'), Outcome.failed),
        (message(b'{"returned": NaN}'), Outcome.failed),
        (b"\xff\xff\xff\xff", Outcome.malformed),
        (b"\x00\x00\x00\x00", Outcome.malformed),
        (b"\x00\x00\x00\x09{", Outcome.timed_out),
        (b"\x00", Outcome.timed_out),
    ],
)
def test_messages_of_another_form_pass_nothing(
    sent: bytes, outcome: Outcome, quick: Sandbox
) -> None:
    program = f"import os, time\ndef solve(x):\n    os.write(3, {sent!r})\n    time.sleep(60)\n"
    assert grade(quick, EXACT, program).outcome is outcome
    assert_is_well(quick)


@pytest.mark.parametrize(
    "runtime", ["sys.modules['eval.sandbox.program'].pack", "sys.modules['json'].dumps"]
)
def test_a_patched_runtime_passes_nothing(runtime: str, quick: Sandbox) -> None:
    program = f"import sys\n{runtime} = lambda value: '{{\"passed\": true}}'\nsolve = int\n"
    assert not grade(quick, EXACT, program).passed


def test_answers_sent_ahead_are_answers(quick: Sandbox) -> None:
    """They have to be right, so they gain nothing; the program does not learn what is asked."""
    ahead = b"".join(map(message, (b'{"loaded": true}', b'{"returned": 4}', b'{"returned": 10}')))
    program = f"import os\nos.write(3, {ahead!r})\nsolve = None\n"
    assert grade(quick, EXACT, program).outcome is Outcome.failed


def test_a_lost_program_stays_lost(quick: Sandbox) -> None:
    """Tests may go on after an exception; what ended cannot come to pass."""
    forgiving = (
        "def check(candidate):\n"
        "    try:\n"
        "        candidate(1)\n"
        "    except Exception:\n"
        "        pass\n"
    )
    problem = CodeProblem(
        benchmark="x",
        id="x",
        prompt=EXACT.prompt,
        solution="",
        tests=forgiving,
        entry_point="solve",
    )
    assert grade(quick, problem, "def solve(x):\n    raise ValueError\n").passed
    program = "import os\ndef solve(x):\n    os._exit(0)\n"
    assert str(grade(quick, problem, program)) == "ended by itself: exit code 0"


@pytest.mark.parametrize("name", ["frame_walk", "always_equal"])
def test_none_of_the_problems_is_passed_by_forgery(
    name: str, sandbox: Sandbox, shared_data: Path
) -> None:
    passed = []
    for problem in read_benchmarks(["humaneval"], shared_data):
        assert isinstance(problem, CodeProblem)
        program = forgery(name).replace("def solve(x)", f"def {problem.entry_point}(*x)")
        if grade(sandbox, problem, program).passed:
            passed.append(problem.id)
    assert passed == []


def test_a_lost_candidate_tells_why(quick: Sandbox) -> None:
    with quick.candidate("import os\ndef solve():\n    os.abort()\n", "solve") as candidate:
        for _ in range(2):
            with pytest.raises(CandidateLostError):
                candidate.call()
    assert candidate.end is not None
    assert candidate.end.outcome is Outcome.ended
