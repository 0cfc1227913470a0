"""HumanEval through the harness itself, with a model whose answers are written down."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from lm_eval.utils import make_table

from eval.config import EvalConfig
from eval.configs.humaneval import HumanEvalConfig
from eval.configs.sandbox import SandboxConfig
from eval.engine.decoding import Decoder
from eval.humaneval.prompts import STOPS
from eval.humaneval.task import build_humaneval
from eval.humaneval.verdicts import VerdictFile
from eval.run import main
from eval.sandbox import pool
from eval.sandbox.sandbox import SandboxError
from eval.sandbox.verdict import Outcome
from pacos.configs.suite import SuiteConfig
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, UserError
from pacos.files import read_json, read_jsonl
from pacos.run.open import open_run
from tests.eval.humaneval.conftest import ROWS, row

RIGHT = {line["prompt"]: line["canonical_solution"] for line in ROWS}


class Scripted(LM):  # type: ignore[misc]
    """Answers each prompt with the next of the answers written for it."""

    def __init__(self, answers: Callable[[str, int], str]) -> None:
        super().__init__()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    def generate_until(self, requests: list[Instance]) -> list[str]:
        first = len(self.asked)
        self.asked += [request.args for request in requests]
        prompts = [prompt for prompt, _ in self.asked]
        return [
            self._answers(prompt, prompts[:at].count(prompt))
            for at, prompt in enumerate(prompts)
            if at >= first
        ]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError


def evaluated(lm: LM, config: EvalConfig, kept: Path) -> dict[str, Any]:
    results: dict[str, Any] = evaluator.simple_evaluate(
        model=lm,
        tasks=[build_humaneval(config, kept)],
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        limit=config.limit,
    )
    return results


def test_greedy_answers_are_completed_run_and_scored(
    problems_config: EvalConfig, tmp_path: Path
) -> None:
    lm = Scripted(lambda prompt, _: RIGHT[prompt] if "word" not in prompt else "    return x\n")
    results = evaluated(lm, problems_config, tmp_path / "verdicts.jsonl")
    assert [prompt for prompt, _ in lm.asked] == list(RIGHT)
    _, settings = lm.asked[0]
    assert settings == {"until": list(STOPS), "max_gen_toks": 4, "do_sample": False}

    scores = results["results"]["humaneval"]
    assert scores["pass@1,create_test"] == pytest.approx(2 / 3)
    assert "pass@1_stderr,create_test" in scores
    assert "pass@10,create_test" not in scores
    facts = results["configs"]["humaneval"]["metadata"]
    assert facts["isolation"] == "sandbox"
    assert facts["layers"]["seccomp"] is True
    assert facts["outcomes"] == {"passed": 2, "a test failed": 1}
    low, high = facts["intervals"]["pass@1"]
    assert low <= 2 / 3 <= high

    sample = results["samples"]["humaneval"][2]
    assert sample["resps"] == [["    return x\n"]]
    assert sample["filtered_resps"] == [[[ROWS[2]["prompt"] + "    return x\n", "a test failed"]]]
    assert sample["pass@1"] == 0.0
    assert "pass@1" in make_table(results), "the harness's own tools read it"


def test_several_answers_give_pass_at_each_k(problems_config: EvalConfig, tmp_path: Path) -> None:
    problems_config.humaneval = replace(problems_config.humaneval, samples=10, temperature=0.8)
    right = {"square": 10, "root": 4, "word": 0}

    def answer(prompt: str, draw: int) -> str:
        (name,) = (name for name in right if f"def {name}" in prompt)
        return RIGHT[prompt] if draw < right[name] else "    return None\n"

    lm = Scripted(answer)
    results = evaluated(lm, problems_config, tmp_path / "verdicts.jsonl")
    assert len(lm.asked) == 30
    drawn = {"do_sample": True, "temperature": 0.8, "top_p": 0.95}
    assert drawn.items() <= lm.asked[0][1].items()
    scores = results["results"]["humaneval"]
    assert scores["pass@1,create_test"] == pytest.approx((1 + 0.4 + 0) / 3)
    assert scores["pass@10,create_test"] == pytest.approx(2 / 3)
    assert set(results["configs"]["humaneval"]["metadata"]["intervals"]) == {"pass@1", "pass@10"}


def test_an_assistant_is_asked_and_its_code_is_found(
    problems_config: EvalConfig, tmp_path: Path
) -> None:
    problems_config.suite = replace(problems_config.suite, chat_template=True)

    def reply(prompt: str, _: int) -> str:
        assert prompt.startswith("Write a solution to the following problem")
        (name,) = (name for name in ("square", "root", "word") if f"def {name}" in prompt)
        return f"Sure:\n```python\ndef {name}(x):\n    return x * x\n```\nDone."

    lm = Scripted(reply)
    results = evaluated(lm, problems_config, tmp_path / "verdicts.jsonl")
    assert lm.asked[0][1]["until"] == []
    assert results["results"]["humaneval"]["pass@1,create_test"] == pytest.approx(1 / 3)


def test_a_verdict_is_given_once(
    problems_config: EvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "verdicts.jsonl"
    first = evaluated(Scripted(lambda prompt, _: RIGHT[prompt]), problems_config, kept)
    lines = kept.read_text().splitlines(keepends=True)
    assert len(lines) == 4, "the layers, and three verdicts"
    kept.write_text("".join(lines[:3]) + lines[3][:20])

    ran: list[str] = []
    test = pool.Pool.test

    def watched(self: pool.Pool, tasks: Sequence[pool.Submission]) -> Any:
        ran.extend(program for _, program in tasks)
        return test(self, tasks)

    monkeypatch.setattr(pool.Pool, "test", watched)
    again = evaluated(Scripted(lambda prompt, _: RIGHT[prompt]), problems_config, kept)
    assert len(ran) == len(ROWS) + 1, "the reference solutions, and the one that was torn"
    assert again["results"] == first["results"]


def test_of_lives_on_several_machines_the_weakest_isolation_counts(tmp_path: Path) -> None:
    kept = tmp_path / "verdicts.jsonl"
    layers = [
        '{"layers": {"seccomp": "", "landlock": "", "mounts": ""}}',
        '{"layers": {"seccomp": "", "landlock": "too old"}}',
    ]
    kept.write_text("".join(f"{line}\n" for line in layers))
    found = VerdictFile(kept, SandboxConfig()).isolation.layers
    assert found == {"seccomp": "", "landlock": "too old", "mounts": "not tried"}


def test_without_isolation_results_say_so(
    problems_config: EvalConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = SandboxConfig(workers=1, run_without_isolation=True)
    problems_config.humaneval = replace(problems_config.humaneval, sandbox=sandbox)
    lm = Scripted(lambda prompt, _: RIGHT[prompt])
    results = evaluated(lm, problems_config, tmp_path / "verdicts.jsonl")
    facts = results["configs"]["humaneval"]["metadata"]
    assert (facts["isolation"], facts["layers"]) == ("none", {"limits": True})
    assert "generated code runs with all your rights" in caplog.text


def test_a_machine_that_cannot_isolate_is_told_before_a_model_is_asked(
    problems_config: EvalConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    python_without: Callable[..., str],
) -> None:
    monkeypatch.setattr(sys, "executable", python_without("seccomp"))
    with pytest.raises(SandboxError, match=r"cannot be isolated on this machine \(seccomp: "):
        build_humaneval(problems_config, tmp_path / "verdicts.jsonl")


def test_a_reference_solution_that_fails_is_told(
    problems_config: EvalConfig, write_problems: Callable[..., Path], tmp_path: Path
) -> None:
    write_problems(*ROWS, row("cube", "x * x", "8"), row("far", "unknown", "1"))
    with pytest.raises(UserError, match="2 of 5 problems do not pass their own tests") as error:
        build_humaneval(problems_config, tmp_path / "verdicts.jsonl")
    assert "HumanEval/cube: a test failed" in str(error.value)
    assert "HumanEval/far: raised: NameError" in str(error.value)


# The whole program, with a true model.

own_process = pytest.mark.usefixtures("own_process")


@own_process
@pytest.mark.parametrize("chat_template", [False, True])
def test_models_are_evaluated_and_compared(
    chat_template: bool, problems_config: EvalConfig, make_model: Callable[[int], Path]
) -> None:
    problems_config.suite = replace(problems_config.suite, chat_template=chat_template)
    run = open_run(replace(problems_config, baseline=str(make_model(2))))
    assert main(["--config", str(run.config)]) == EXIT_DONE
    assert read_json(run.result)["target"] == {"humaneval/pass@1": 0.0}
    (line,) = read_json(run.eval / "comparison.json")["differences"]
    assert (line["name"], line["items"]) == ("humaneval/pass@1", 3)
    (file,) = (run.eval / "humaneval" / "target").glob("results_*.json")
    assert read_json(file)["configs"]["humaneval"]["metadata"]["isolation"] == "sandbox"
    assert "data/HumanEval.jsonl.gz" in read_json(run.manifest)["inputs"]


@own_process
def test_answers_are_on_the_disk_before_one_is_run(problems_config: EvalConfig) -> None:
    problems_config.humaneval = replace(problems_config.humaneval, samples=2, temperature=0.8)
    run = open_run(problems_config)
    kept = run.eval / "humaneval" / ".target.answers.jsonl"
    answered: list[int] = []

    def ended(self: VerdictFile, tasks: Sequence[pool.Submission]) -> None:
        answered.append(kept.read_text().count("\n"))
        raise SandboxError("the sandbox does not answer")

    def asked(self: Decoder, prompts: Sequence[Any]) -> None:
        raise AssertionError("nothing is asked twice")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VerdictFile, "grade", ended)
        assert main(["--config", str(run.config)]) == EXIT_USER_ERROR
    assert answered == [6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder, "generate", asked)
        assert main(["--config", str(run.config)]) == EXIT_DONE
    assert not kept.exists()


@own_process
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("no json", "line 2: JSONDecodeError"),
        (
            {key: value for key, value in ROWS[0].items() if key != "test"},
            "line 2: KeyError('test')",
        ),
        (ROWS[0] | {"prompt": 5}, "line 2: TypeError('prompt is not a string')"),
        ("[1]", "line 2: TypeError"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(
    broken: Any,
    said: str,
    problems_config: EvalConfig,
    write_problems: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_problems(ROWS[0], broken, ROWS[1])
    run = open_run(problems_config)
    assert main(["--config", str(run.config)]) == EXIT_USER_ERROR
    told = capsys.readouterr().err
    assert "humaneval/HumanEval.jsonl.gz" in told
    assert said in told


def test_every_problem_of_the_config_is_named_at_once(
    problems_config: EvalConfig, tmp_path: Path
) -> None:
    wrong = replace(
        problems_config,
        suite=replace(problems_config.suite, data_dir=None),
        humaneval=HumanEvalConfig(
            samples=10, top_p=0.0, max_tokens=0, sandbox=SandboxConfig(timeout_seconds=-1)
        ),
    )
    found = [str(problem) for problem in wrong.problems()]
    assert [text.split(" = ")[0] for text in found] == [
        *("humaneval.max_tokens", "humaneval.top_p", "humaneval.samples"),
        *("humaneval.sandbox.timeout_seconds", "suite.data_dir"),
    ]
    assert HumanEvalConfig(temperature=-1.0).problems()[0].key == "humaneval.temperature"
    suite = replace(problems_config.suite, data_dir=str(tmp_path))
    absent = replace(problems_config, suite=suite)
    assert f"no file {tmp_path}/humaneval/HumanEval.jsonl.gz" in str(absent.missing_files()[0])
    assert wrong.missing_files() == []


def test_a_suite_of_one_task_may_have_its_name(problems_config: EvalConfig) -> None:
    assert problems_config.problems() == []
    two = SuiteConfig(name="a", folder="x", tasks=["a", "b"])
    assert [one.key for one in replace(problems_config, suite=two).problems()] == ["suite.name"]


KILLED = """
import sys
from pathlib import Path
from eval.humaneval.verdicts import VerdictFile
from eval.configs.sandbox import SandboxConfig
from pacos.benchmarks.items import CodeProblem

problem = CodeProblem(
    benchmark="x", id="x", prompt="def f(x):\\n    pass\\n", solution="",
    tests="def check(candidate):\\n    assert candidate(2) == 4\\n", entry_point="f",
)
tasks = [(problem, f"def f(x):\\n    return {n % 8}\\n    # {n}\\n") for n in range(400)]
found = VerdictFile(Path(sys.argv[1]), SandboxConfig(workers=2)).grade(tasks)
print(sum(one.passed for one in found))
"""


def test_a_killed_grading_goes_on_where_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "verdicts.jsonl"
    command = [sys.executable, "-c", KILLED, str(kept)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not kept.exists() or kept.read_text().count("\n") < 40:
        assert first.poll() is None, "it has to be killed in the middle"
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = [record["key"] for record in read_jsonl(kept) if "key" in record]
    assert 0 < len(before) < 400
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "50"
    after = [record["key"] for record in read_jsonl(kept) if "key" in record]
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == 400
    assert Outcome.passed.name in kept.read_text()
