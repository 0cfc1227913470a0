"""Grading a program: the benchmark's tests run here, and call the program in its own process."""

from __future__ import annotations

import random
from typing import Any

from eval.sandbox.candidate import Candidate, CandidateLostError
from eval.sandbox.sandbox import Sandbox
from eval.sandbox.verdict import Outcome, ProgramVerdict
from pacos.benchmarks.items import CodeProblem


def grade(sandbox: Sandbox, problem: CodeProblem, program: str) -> ProgramVerdict:
    """Run a program against a problem's tests.

    Args:
        sandbox: runs the program.
        problem: from the benchmark, whose prompt and tests are trusted and run in this process.
        program: Python source that defines the problem's function.
    """
    with sandbox.candidate(program, problem.entry_point) as candidate:
        verdict = _test(candidate, problem) if candidate.end is None else None
    # A lost candidate fails even if a test swallowed the exception that reported it.
    return candidate.end or verdict or ProgramVerdict(Outcome.ended)


def _test(candidate: Candidate, problem: CodeProblem) -> ProgramVerdict:
    # Some tests draw random inputs; every program gets the same ones.
    random.seed(0)
    namespace: dict[str, Any] = {"__name__": "tests"}
    try:
        # The prompt defines helpers that tests call, such as `poly` of HumanEval/32. Its own
        # function has only a docstring, and is replaced below.
        exec(compile(problem.prompt, "prompt.py", "exec"), namespace)
        exec(compile(problem.tests, "tests.py", "exec"), namespace)
        # The test of HumanEval/33 calls the function by its name, besides `candidate`.
        namespace[problem.entry_point] = candidate.call
        namespace["check"](candidate.call)
    except CandidateLostError:
        return ProgramVerdict(Outcome.ended)
    except AssertionError as error:
        return ProgramVerdict.with_text(Outcome.failed, _text(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # tests and programs raise anything
        return ProgramVerdict.with_text(Outcome.raised, f"{type(error).__name__}: {_text(error)}")
    return ProgramVerdict(Outcome.passed)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except ValueError:  # Python refuses to print an integer of more than 4,300 digits
        return ""
