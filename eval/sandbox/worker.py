"""A worker process, which tests programs one after another; see pool.py.

The tests run here, and not in the process of the model: a program's result can send a test into an
endless loop, or make it allocate more memory than there is. Then this process ends, and the pool
starts another.
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
from eval.sandbox.grade import grade
from eval.sandbox.isolation import kernel
from eval.sandbox.sandbox import Sandbox, SandboxError
from pacos.benchmarks.items import CodeProblem

TESTS_MEMORY = 4 << 30
"""Address space of this process, in bytes."""

TESTS_SECONDS = 10.0
"""Wall time of the tests beyond the program's own; when it is over, this process ends."""


def main() -> int:
    """Answer each line with the verdict on its program, as JSON, and return the exit code."""
    # Answers go to a copy of stdout, and stdout to /dev/null: a test that prints must not be able
    # to answer for this process.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    config = SandboxConfig(**json.loads(sys.stdin.readline()))
    try:
        with Sandbox(config) as sandbox, open(os.devnull, "w") as null:
            # After the sandbox has started: programs have their own limit, which may be higher.
            kernel.limit(resource.RLIMIT_AS, TESTS_MEMORY)
            _answer(answers, {"isolation": dict(sandbox.isolation.layers)})
            for line in sys.stdin:
                task = json.loads(line)
                problem = CodeProblem(**task["problem"])
                # faulthandler's timer is a thread in C, which ends the process even while a single
                # operation of the interpreter (10 ** 10**9) holds the GIL. A signal handler would
                # wait for that operation.
                faulthandler.dump_traceback_later(
                    config.timeout_seconds + TESTS_SECONDS, exit=True, file=null
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
    """Return the line that configures a worker."""
    return json.dumps(asdict(config)) + "\n"


def task_line(problem: CodeProblem, program: str) -> str:
    """Return the line that asks a worker to test a program."""
    return json.dumps({"problem": asdict(problem), "program": program}) + "\n"
