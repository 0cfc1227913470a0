"""A process that tests programs, one after the other; see `pool.py`.

The tests run here, not where the model is: what a program answers may send a test round and round,
or make it need more memory than there is. Then this process ends, and the pool makes another.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
from dataclasses import asdict
from typing import IO, Any

from eval.configs.sandbox import SandboxConfig
from eval.sandbox.box import Sandbox, SandboxError
from eval.sandbox.grade import grade
from eval.sandbox.walls import kernel
from pacos.benchmarks.items import CodeProblem

TESTS_MEMORY = 4 << 30
"""Address space of this process, in bytes."""

TESTS_SECONDS = 10.0
"""Wall time for tests beyond that of the program; past it this process ends."""


def main() -> int:
    """Answer each line with the verdict on its program, as JSON; returns the exit code."""
    # A test that prints must not answer for us.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    config = SandboxConfig(**json.loads(sys.stdin.readline()))
    try:
        with Sandbox(config) as sandbox, open(os.devnull, "w") as nowhere:
            # Programs have their own limit, which may be higher.
            kernel.limit(resource.RLIMIT_AS, TESTS_MEMORY)
            _answer(answers, {"isolation": dict(sandbox.isolation.layers)})
            for line in sys.stdin:
                task = json.loads(line)
                problem = CodeProblem(**task["problem"])
                faulthandler.dump_traceback_later(
                    config.timeout_seconds + TESTS_SECONDS, exit=True, file=nowhere
                )
                verdict = grade(sandbox, problem, task["program"])
                faulthandler.cancel_dump_traceback_later()
                _answer(answers, {"outcome": verdict.outcome.name, "detail": verdict.detail})
    except SandboxError as error:
        _answer(answers, {"error": str(error)})
    return 0


def _answer(answers: IO[str], message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def first_line(config: SandboxConfig) -> str:
    """What a worker has to be told first."""
    return json.dumps(asdict(config)) + "\n"


def task_line(problem: CodeProblem, program: str) -> str:
    """What a worker has to be told of a program."""
    return json.dumps({"problem": asdict(problem), "program": program}) + "\n"
