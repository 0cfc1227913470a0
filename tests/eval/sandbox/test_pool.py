import sys
from collections.abc import Callable

import pytest

from eval.configs.sandbox import SandboxConfig
from eval.sandbox.pool import WORKER_LOST, Pool
from eval.sandbox.sandbox import SandboxError
from eval.sandbox.verdict import Outcome
from pacos.benchmarks.items import CodeProblem

PROMPT = "def solve(x):\n    pass\n"
SQUARE = "def solve(x):\n    return x * x\n"


def problem(body: str) -> CodeProblem:
    return CodeProblem(
        benchmark="humaneval",
        id="x",
        prompt=PROMPT,
        solution="",
        tests=f"def check(candidate):\n    {body}\n",
        entry_point="solve",
    )


def test_each_program_has_its_verdict() -> None:
    tasks = [
        (problem(f"assert candidate({n}) == {n * n if n % 3 else -1}"), SQUARE) for n in range(9)
    ]
    with Pool(SandboxConfig(workers=2)) as pool:
        assert pool.isolation.is_sufficient
        found = dict(pool.test(tasks))
        assert list(pool.test([])) == []
    assert {n: verdict.passed for n, verdict in found.items()} == {n: n % 3 > 0 for n in range(9)}


def test_tests_may_print_exit_and_take_too_much_memory() -> None:
    bodies = ["print('passed' * 9)", "import sys; sys.exit(0)", "[0] * candidate(10**6)"]
    with Pool(SandboxConfig(workers=1)) as pool:
        found = dict(pool.test([(problem(body), SQUARE) for body in bodies]))
    assert [found[n].outcome for n in range(3)] == [Outcome.passed, Outcome.raised, Outcome.raised]
    assert "MemoryError" in found[2].detail


@pytest.mark.slow
def test_an_answer_on_which_the_tests_hang_costs_one_worker() -> None:
    hang = "for _ in range(candidate(10**9)): pass"
    stuck = "10 ** candidate(10**6)"
    bodies = ["assert candidate(2) == 4", hang, "assert candidate(3) == 9", stuck]
    tasks = [(problem(body), SQUARE) for body in [*bodies, *bodies[::2]]]
    with Pool(SandboxConfig(workers=1, timeout_seconds=1.0)) as pool:
        found = dict(pool.test(tasks))
    assert [found[n] == WORKER_LOST for n in range(6)] == [False, True, False, True, False, False]
    assert all(found[n].passed for n in (0, 2, 4, 5))


def test_a_machine_that_cannot_isolate_is_told(
    monkeypatch: pytest.MonkeyPatch, python_without: Callable[..., str]
) -> None:
    monkeypatch.setattr(sys, "executable", python_without("landlock", "namespaces"))
    with pytest.raises(SandboxError, match="cannot be isolated on this machine"):
        Pool(SandboxConfig(workers=1))
