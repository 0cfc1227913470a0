"""Answers that try to pass without solving anything, and forged messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eval.sandbox.candidate import CandidateLostError
from eval.sandbox.grade import grade
from eval.sandbox.sandbox import Sandbox
from eval.sandbox.verdict import Outcome
from pacos.benchmarks.catalogue import read_benchmarks
from pacos.benchmarks.items import CodeProblem
from pacos.files import append_jsonl, read_jsonl
from tests.eval.sandbox.attacking import ATTACKS, assert_is_well

FORGERIES = sorted(path.stem for path in (ATTACKS / "forgeries").glob("*.py"))

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
"""Tests and answer in one process, as in most graders; the verdict is a word or the exit code."""


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
    ],
)
def test_messages_of_another_form_pass_nothing(
    sent: bytes, outcome: Outcome, sandbox: Sandbox
) -> None:
    program = f"import os, time\ndef solve(x):\n    os.write(3, {sent!r})\n    time.sleep(60)\n"
    assert grade(sandbox, EXACT, program).outcome is outcome
    assert_is_well(sandbox)


def test_half_a_message_is_waited_for_no_longer_than_the_limit(quick: Sandbox) -> None:
    program = (
        "import os, time\ndef solve(x):\n    os.write(3, b'\\0\\0\\0\\x09{')\n    time.sleep(60)\n"
    )
    assert grade(quick, EXACT, program).outcome is Outcome.timed_out
    assert_is_well(quick)


@pytest.mark.parametrize(
    "runtime", ["sys.modules['eval.sandbox.program'].pack", "sys.modules['json'].dumps"]
)
def test_a_patched_runtime_passes_nothing(runtime: str, sandbox: Sandbox) -> None:
    program = f"import sys\n{runtime} = lambda value: '{{\"passed\": true}}'\nsolve = int\n"
    assert not grade(sandbox, EXACT, program).passed


def test_answers_sent_ahead_are_answers(sandbox: Sandbox) -> None:
    """Replies sent ahead have to be correct, and the program does not know the questions."""
    ahead = b"".join(map(message, (b'{"loaded": true}', b'{"returned": 4}', b'{"returned": 10}')))
    program = f"import os\nos.write(3, {ahead!r})\nsolve = print\n"
    assert grade(sandbox, EXACT, program).outcome is Outcome.failed


def test_a_lost_program_stays_lost(sandbox: Sandbox) -> None:
    """A test may swallow the exception of a lost program, which must not pass even so."""
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
    assert grade(sandbox, problem, "def solve(x):\n    raise ValueError\n").passed
    program = "import os\ndef solve(x):\n    os._exit(0)\n"
    assert str(grade(sandbox, problem, program)) == "ended by itself: exit code 0"


@pytest.mark.parametrize("text", ["\ud800", "x" * 10**6, "\udfff" * 10**5, "\0"])
@pytest.mark.parametrize("place", ["top", "call"])
def test_a_program_has_no_say_in_whether_a_verdict_can_be_written(
    text: str, place: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    cry = (
        f"raise type({text!r}.encode(errors='replace').decode()[:50], (Exception,), {{}})({text!r})"
    )
    program = f"def solve(x):\n    {cry}\n" if place == "call" else cry
    verdict = grade(sandbox, EXACT, program)
    assert verdict.outcome is Outcome.raised
    append_jsonl(tmp_path / "verdicts.jsonl", [{"detail": verdict.detail, "text": str(verdict)}])
    (line,) = read_jsonl(tmp_path / "verdicts.jsonl")
    assert len(line["text"]) < 400


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


def test_a_helper_that_the_tests_use_cannot_be_replaced(
    sandbox: Sandbox, shared_data: Path
) -> None:
    """HumanEval/32 checks that `poly` is near 0 at the returned root."""
    problems = {one.id: one for one in read_benchmarks(["humaneval"], shared_data)}
    problem = problems["HumanEval/32"]
    assert isinstance(problem, CodeProblem)
    program = "def poly(xs, x):\n    return 0\n\ndef find_zero(xs):\n    return 1.0\n"
    assert grade(sandbox, problem, program).outcome is Outcome.failed


def test_a_lost_candidate_tells_why(sandbox: Sandbox) -> None:
    with sandbox.candidate("import os\ndef solve():\n    os.abort()\n", "solve") as candidate:
        for _ in range(2):
            with pytest.raises(CandidateLostError):
                candidate.call()
    assert candidate.end is not None
    assert candidate.end.outcome is Outcome.ended
