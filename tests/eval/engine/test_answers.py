import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvalConfig
from eval.engine.answers import AnswerLog
from eval.engine.plan import ForwardPass
from eval.engine.scoring import Scorer
from eval.harness.results import read_suite
from eval.run import main
from pacos.configs.stage import RunConfig
from pacos.errors import EXIT_DONE, EXIT_SAVED
from pacos.files import read_jsonl
from pacos.run.open import open_run
from pacos.run_paths import RunPaths

ASKED = ("loglikelihood", "task", ("context", " choice"), 0)


def test_answers_are_there_for_the_next_life(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first = AnswerLog(path, {"model": "a"})
    first.add([(first.key(*ASKED), (-1.25, True))])
    path.write_bytes(path.read_bytes() + b'{"key": "torn')
    later = AnswerLog(path, {"model": "a"})
    assert later.get(later.key(*ASKED)) == [-1.25, True]
    later.add([("other", "text")])
    assert [record["answer"] for record in read_jsonl(path)] == [[-1.25, True], "text"]


@pytest.mark.parametrize(
    "changed",
    [
        ("generate_until", *ASKED[1:]),
        (ASKED[0], "other", *ASKED[2:]),
        (*ASKED[:2], ("context", " other"), 0),
        (*ASKED[:3], 1),
    ],
)
def test_another_request_has_another_key(tmp_path: Path, changed: Any) -> None:
    answers = AnswerLog(tmp_path / "x", {"model": "a"})
    assert answers.key(*ASKED) != answers.key(*changed)


@pytest.mark.parametrize("other", [{"model": "b"}, {"model": "a", "seed": 2}])
def test_another_model_or_seed_has_another_key(tmp_path: Path, other: dict[str, Any]) -> None:
    one, two = (
        AnswerLog(tmp_path / "x", {"model": "a", "seed": 1}),
        AnswerLog(tmp_path / "x", other),
    )
    assert one.key(*ASKED) != two.key(*ASKED)


def go_on(run: RunPaths) -> int:
    return main(["--config", str(run.config)])


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many requests each pass of this process answered."""
    passes: list[int] = []
    score = Scorer.score

    def spy(self: Scorer, one: ForwardPass) -> Any:
        passes.append(len(one.request_indices()))
        return score(self, one)

    monkeypatch.setattr(Scorer, "score", spy)
    return passes


def opened(config: EvalConfig, name: str) -> RunPaths:
    suite = replace(config.suite, tasks=["smoke_choice_en", "smoke_continuation_en"])
    own = RunConfig(name=name, root=config.run.root)
    return open_run(
        replace(config, run=own, suite=suite, heldout=None, limit=None, batch_tokens=16)
    )


def scores(run: RunPaths) -> list[float]:
    samples = read_suite(run.eval / "smoke" / "target").samples
    return [
        float(answer[0][0]) for one in samples.values() for line in one for answer in line["resps"]
    ]


@pytest.mark.usefixtures("own_process")
def test_a_killed_run_computes_only_what_it_had_not(config: EvalConfig, scored: list[int]) -> None:
    run = opened(config, "killed")
    kept = run.eval / "smoke" / ".target.answers.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-m", "eval.run", "--config", str(run.config)],
        env={**os.environ, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    while child.poll() is None and not (kept.is_file() and kept.read_bytes().count(b"\n") >= 8):
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "it was done before it could be killed"
    with kept.open("ab") as file:
        file.write(b'{"key": "to')
    before = len({record["key"] for record in read_jsonl(kept) if "answer" in record})

    assert go_on(run) == EXIT_DONE
    whole = opened(config, "whole")
    done = sum(scored)
    assert go_on(whole) == EXIT_DONE
    assert before >= 8
    assert done == sum(scored) - done - before, "each request once"
    assert scores(run) == pytest.approx(scores(whole), abs=1e-4)
    assert not kept.exists()


@pytest.mark.usefixtures("own_process")
def test_a_run_that_is_stopped_in_the_middle_keeps_its_answers(
    config: EvalConfig, scored: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(config, "stopped")
    add = AnswerLog.add

    def stop_after(self: AnswerLog, answers: Any) -> None:
        add(self, answers)
        run.stop.touch()

    monkeypatch.setattr(AnswerLog, "add", stop_after)
    assert go_on(run) == EXIT_SAVED
    kept = list(read_jsonl(run.eval / "smoke" / ".target.answers.jsonl"))
    assert len(kept) == sum(scored) > 0
    assert not (run.eval / "smoke" / "target").exists()
    assert json.loads(run.status.read_text())["state"] == "saved"
