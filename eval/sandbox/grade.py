"""Whether a program solves a problem: the problem's tests, run here, call it there."""

from __future__ import annotations

import random
from typing import Any

from eval.sandbox.box import Sandbox
from eval.sandbox.candidate import Candidate, CandidateLostError
from eval.sandbox.verdict import Outcome, Verdict
from pacos.benchmarks.items import CodeProblem


def grade(sandbox: Sandbox, problem: CodeProblem, program: str) -> Verdict:
    """Run a program against a problem's tests.

    Args:
        sandbox: where it runs.
        problem: its prompt and tests come from the benchmark, and are run in this process.
        program: Python source that defines the problem's function.
    """
    with sandbox.candidate(program, problem.entry_point) as candidate:
        verdict = _test(candidate, problem) if candidate.end is None else None
    # A test may swallow the exception by which a lost candidate is told.
    return candidate.end or verdict or Verdict(Outcome.ended)


def _test(candidate: Candidate, problem: CodeProblem) -> Verdict:
    # Tests that draw numbers draw the same ones for each program.
    random.seed(0)
    namespace: dict[str, Any] = {"__name__": "tests"}
    try:
        # The prompt brings helpers that tests call. Its own function has no body but a docstring.
        exec(compile(problem.prompt, "prompt.py", "exec"), namespace)
        exec(compile(problem.tests, "tests.py", "exec"), namespace)
        # One test calls the function by its name.
        namespace[problem.entry_point] = candidate.call
        namespace["check"](candidate.call)
    except CandidateLostError:
        return Verdict(Outcome.ended)
    except AssertionError as error:
        return Verdict.saying(Outcome.failed, _text(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # tests and programs raise anything
        return Verdict.saying(Outcome.raised, f"{type(error).__name__}: {_text(error)}")
    return Verdict(Outcome.passed)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except ValueError:  # of an integer with more digits than Python writes
        return ""
