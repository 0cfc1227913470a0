import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.configs.sandbox import SandboxConfig
from eval.sandbox.candidate import CandidateError, CandidateLostError
from eval.sandbox.grade import grade
from eval.sandbox.sandbox import Sandbox, SandboxError
from eval.sandbox.verdict import Outcome
from pacos.benchmarks.catalogue import read_benchmarks
from pacos.benchmarks.items import CodeProblem
from tests.eval.sandbox.attacking import descendants


def called(sandbox: Sandbox, program: str, *arguments: Any, **named: Any) -> Any:
    with sandbox.candidate(program, "solve") as candidate:
        assert candidate.end is None, candidate.end
        return candidate.call(*arguments, **named)


def test_all_reference_solutions_pass(sandbox: Sandbox, shared_data: Path) -> None:
    failed = {}
    for problem in read_benchmarks(["humaneval"], shared_data):
        assert isinstance(problem, CodeProblem)
        verdict = grade(sandbox, problem, problem.prompt + problem.solution)
        if not verdict.passed:
            failed[problem.id] = str(verdict)
    assert failed == {}


def test_a_wrong_solution_fails(sandbox: Sandbox, shared_data: Path) -> None:
    problems = list(read_benchmarks(["humaneval"], shared_data))
    for problem in problems:
        assert isinstance(problem, CodeProblem)
        verdict = grade(sandbox, problem, problem.prompt + "    return 'no such answer'\n")
        assert verdict.outcome in (Outcome.failed, Outcome.raised), problem.id


def test_arguments_are_copies(sandbox: Sandbox) -> None:
    numbers = [3, 1, 2]
    program = "def solve(numbers, *, more):\n    numbers.sort()\n    return numbers + more\n"
    assert called(sandbox, program, numbers, more=[4]) == [1, 2, 3, 4]
    assert numbers == [3, 1, 2]


def test_a_program_keeps_its_state_between_calls(sandbox: Sandbox) -> None:
    program = "seen = []\ndef solve(x):\n    seen.append(x)\n    return len(seen)\n"
    with sandbox.candidate(program, "solve") as candidate:
        assert [candidate.call(7) for _ in range(3)] == [1, 2, 3]
    assert called(sandbox, program, 7) == 1


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("ValueError('x')", ValueError),
        ("KeyError('x')", KeyError),
        ("RecursionError('x')", RecursionError),
        ("type('Odd', (Exception,), {})('x')", CandidateError),
        ("SystemExit('x')", CandidateError),
        ("KeyboardInterrupt('x')", CandidateError),
    ],
)
def test_exceptions_come_by_name(raised: str, kind: type[Exception], sandbox: Sandbox) -> None:
    with pytest.raises(kind, match="x"):
        called(sandbox, f"def solve():\n    raise {raised}\n")


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("def solve(:", "raised: SyntaxError: invalid syntax"),
        ("import no_such_module", "raised: ModuleNotFoundError: No module named"),
        ("x = 1 / 0", "raised: ZeroDivisionError: division by zero"),
        ("def other(): pass", "raised: KeyError: 'solve'"),
        ("import os; os._exit(3)", "ended by itself: exit code 3"),
        ("import os; os.abort()", "ended by itself: SIG"),
    ],
)
def test_a_program_that_does_not_load_says_why(program: str, text: str, sandbox: Sandbox) -> None:
    with sandbox.candidate(program, "solve") as candidate:
        pass
    assert str(candidate.end).startswith(text)
    with pytest.raises(CandidateLostError):
        candidate.call()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def solve():\n    return solve.__module__", "candidate"),
        ("if __name__ == '__main__':\n    1 / 0\ndef solve():\n    return 1", 1),
        ("import math, re, heapq, bisect, zoneinfo, csv, sqlite3, uuid\nsolve = lambda: 1", 1),
        ("import numpy\ndef solve():\n    return numpy.arange(4).sum()", 6),
        (
            "from dataclasses import *\n@dataclass\nclass P:\n    x: 'int'\nsolve = lambda: P(1).x",
            1,
        ),
        ("def solve(n=900):\n    return n and solve(n - 1)", 0),
        ("import os, sys\ndef solve():\n    return len(os.environ), sys.argv", (0, [""])),
        (
            "def solve():\n    try:\n        input()\n    except EOFError:\n        return 'end'",
            "end",
        ),
        ("import time\ndef solve():\n    time.sleep(0.01)\n    print('x')\n    return 1", 1),
    ],
)
def test_ordinary_programs_run(program: str, expected: Any, sandbox: Sandbox) -> None:
    assert called(sandbox, program) == expected


def test_the_temporary_folder_is_private_and_of_this_program(sandbox: Sandbox) -> None:
    program = (
        "import os, tempfile\n"
        "def solve():\n"
        "    before = os.listdir()\n"
        "    open('kept', 'w').write('x')\n"
        "    os.makedirs('a/b')\n"
        "    with tempfile.NamedTemporaryFile() as file:\n"
        "        file.write(b'yes')\n"
        "        file.seek(0)\n"
        "        return before, os.path.dirname(file.name), file.read()\n"
    )
    for _ in range(2):
        assert called(sandbox, program) == ([], "/box", b"yes")


def test_sets_have_the_same_order_in_each_life() -> None:
    program = "def solve():\n    return str(set('abcdefgh'))\n"
    orders = set()
    for _ in range(2):
        with Sandbox(SandboxConfig()) as sandbox:
            orders.add(called(sandbox, program))
    assert len(orders) == 1


def test_the_layers_in_force_are_told_by_name(sandbox_without: Callable[..., Sandbox]) -> None:
    with sandbox_without("namespaces") as sandbox:
        found = sandbox.isolation.to_json()
        assert called(sandbox, "def solve():\n    return 1\n") == 1
    assert found["isolation"] == "sandbox"
    assert "not permitted" in found["layers"]["namespaces"]
    assert "mounts" not in found["layers"]
    for name in ("landlock", "seccomp", "no_new_privs", "capabilities", "limits"):
        assert found["layers"][name] is True


@pytest.mark.parametrize(
    ("lacking", "named"),
    [(("namespaces", "landlock"), "mounts: not tried; landlock:"), (("seccomp",), "seccomp: ")],
)
def test_what_cannot_be_isolated_does_not_run(
    lacking: tuple[str, ...], named: str, sandbox_without: Callable[..., Sandbox]
) -> None:
    with pytest.raises(SandboxError, match="cannot be isolated on this machine") as error:
        sandbox_without(*lacking)
    assert named in str(error.value)
    assert "run_without_isolation=true" in str(error.value)
    with sandbox_without(*lacking, run_without_isolation=True) as sandbox:
        assert sandbox.isolation.to_json() == {"isolation": "none", "layers": {"limits": True}}
        assert called(sandbox, "def solve():\n    return 1\n") == 1


def test_isolation_that_goes_away_is_noticed(sandbox: Sandbox) -> None:
    with Sandbox(SandboxConfig()) as other:
        other.isolation = type(other.isolation)({**other.isolation.layers, "seccomp": "gone"})
        with pytest.raises(SandboxError, match="changed during the run"):
            called(other, "def solve():\n    return 1\n")


def test_a_server_that_is_gone_is_told() -> None:
    with Sandbox(SandboxConfig()) as sandbox:
        os.kill(sandbox._server.pid, signal.SIGKILL)
        with pytest.raises(SandboxError, match="does not answer"):
            called(sandbox, "def solve():\n    return 1\n")


def test_all_ends_with_the_trusted_side() -> None:
    code = (
        "from eval.sandbox.sandbox import Sandbox\n"
        "from eval.configs.sandbox import SandboxConfig\n"
        "sandbox = Sandbox(SandboxConfig(timeout_seconds=60))\n"
        "with sandbox.candidate('def solve():\\n    while True: pass', 'solve') as candidate:\n"
        "    print(sandbox._server.pid, flush=True)\n"
        "    candidate.call()\n"
    )
    trusted = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert trusted.stdout is not None
    below = descendants(int(trusted.stdout.readline()))
    assert len(below) == 2, "the server in its namespace, and the program"
    trusted.kill()
    trusted.communicate()
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in below):
            return
        time.sleep(0.05)
    pytest.fail(f"{below} live on")


def test_settings_that_cannot_work_are_told() -> None:
    config = SandboxConfig(timeout_seconds=0, memory_mib=64, disk_mib=-1, workers=0)
    found = [str(problem) for problem in config.problems("humaneval.sandbox")]
    assert [text.split(" = ")[0].rpartition(".")[2] for text in found] == [
        *("timeout_seconds", "disk_mib", "workers", "memory_mib")
    ]
    assert SandboxConfig().problems("humaneval.sandbox") == []
