"""Whole runs with a scripted teacher, started, stopped and killed as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacos import metrics
from pacos.compose import compose_checked
from pacos.errors import EXIT_DONE, EXIT_SAVED, EXIT_USER_ERROR
from pacos.files import read_json, read_jsonl
from pacos.run_dir import RunDir, State, open_run
from pacos.schemas import Row
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.run import live, main
from tests.conftest import ROOT
from tests.selfinstruct.scripted import ScriptedTeacher

SETTINGS = [
    "seeds.heldout=25",
    "generator.batch_size=4",
    "target_rows=60",
    "max_requests=200",
]


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """A run in this process installs its own."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def compose(root: Path, name: str, *more: str) -> SelfInstructConfig:
    overrides = [*SETTINGS, f"run.root={root}", f"run.name={name}", *more]
    return compose_checked(SelfInstructConfig, SCHEMAS, overrides)


def run_scripted(root: Path, name: str, *more: str) -> tuple[int, RunDir]:
    config = compose(root, name, *more)
    run = open_run(config)
    return live(config, run, ScriptedTeacher(run.path / "asked.jsonl")), run


def start(run: RunDir, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.selfinstruct.scripted", str(run.config), str(pause)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, text=True)


def answered(run: RunDir) -> set[str]:
    return {record["key"] for record in read_jsonl(run.data / "ledger.jsonl")}


def wait_for(run: RunDir, replies: int) -> None:
    until = time.monotonic() + 60
    while len(answered(run)) < replies:
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that nobody disturbed."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    code, run = run_scripted(tmp_path_factory.mktemp("runs"), "whole")
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert code == EXIT_DONE
    return run


def test_rows_are_seeds_and_generated(whole: RunDir) -> None:
    rows = [Row.from_json(record, "data") for record in read_jsonl(whole.data / "data.jsonl")]
    held = [Row.from_json(record, "heldout") for record in read_jsonl(whole.data / "heldout.jsonl")]
    seeds = [row for row in rows if row.source == "seed"]
    generated = [row for row in rows if row.source == "generated"]
    assert (len(seeds), len(generated), len(held)) == (150, 60, 25)
    assert not {row.id for row in held} & {row.id for row in rows}
    assert len({row.id for row in rows}) == len(rows)
    assert {row.lineage["terms"] for row in [*seeds, *held]} == {"Apache-2.0 (pacos)"}
    keys = answered(whole)
    for row in generated:
        assert row.input == ""
        assert row.lineage["request"] in keys
        assert len(row.lineage["seeds"]) == 3
        assert not set(row.lineage["seeds"]) & {row.id for row in held}
        assert (row.lineage["teacher"], row.lineage["terms"]) == (
            "smollm2-135m-instruct",
            "Apache-2.0",
        )


def test_rejected_candidates_keep_their_reasons(whole: RunDir) -> None:
    rejected = list(read_jsonl(whole.data / "rejected.jsonl"))
    reasons = {record["reason"] for record in rejected}
    assert reasons == {"no output part", "cut by the token limit", "too similar"}
    for record in rejected:
        assert (record["nearest"] is not None) == (record["reason"] == "too similar")
        if record["nearest"]:
            assert record["nearest"]["score"] > 0.7


def test_numbers_agree(whole: RunDir) -> None:
    records = list(read_jsonl(whole.metrics))
    rejected = len(list(read_jsonl(whole.data / "rejected.jsonl")))
    assert [record[metrics.STEP] for record in records] == list(range(1, len(records) + 1))
    last = records[-1]
    assert (last[metrics.ACCEPTED], last[metrics.REJECTED]) == (60, rejected)
    assert read_json(whole.result) == {
        "rows": 60,
        "requests": last[metrics.REQUESTS],
        "acceptance_rate": 60 / (60 + rejected),
    }
    card = (whole.data / "README.md").read_text()
    assert "150 rows were written by people" in card
    assert f"Of {60 + rejected} candidates\n60 were accepted" in card


def test_the_manifest_knows_seeds_and_terms(whole: RunDir) -> None:
    manifest = read_json(whole.manifest)
    assert manifest["lineage"] == {"seeds": "Apache-2.0 (pacos)", "teacher": "Apache-2.0"}
    assert manifest["inputs"]["seeds"]["path"].endswith("selfinstruct/seeds/en.jsonl")
    assert whole.state() is State.done


def test_seeds_of_the_user_have_no_terms_of_ours(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_bytes((ROOT / "selfinstruct" / "seeds" / "en.jsonl").read_bytes())
    _, run = run_scripted(tmp_path, "own", f"seeds.path={own}", "target_rows=4")
    assert "unstated" in read_json(run.manifest)["lineage"]["seeds"]
    first = next(read_jsonl(run.data / "data.jsonl"))
    assert "unstated" in first["lineage"]["terms"]


@pytest.mark.parametrize("replies", [4, 20])
def test_a_killed_run_comes_to_the_same_rows(whole: RunDir, tmp_path: Path, replies: int) -> None:
    run = open_run(compose(tmp_path, "killed"))
    child = start(run, 0.2)
    wait_for(run, replies)
    child.kill()
    child.wait()
    assert run.state() is State.running
    safe = answered(run)
    asked_before = sum(1 for _ in read_jsonl(run.path / "asked.jsonl"))
    code, run = run_scripted(tmp_path, "killed")
    assert code == EXIT_DONE
    asked = [record["key"] for record in read_jsonl(run.path / "asked.jsonl")][asked_before:]
    assert not safe & set(asked)
    for name in ("data.jsonl", "heldout.jsonl", "rejected.jsonl", "README.md"):
        assert (run.data / name).read_bytes() == (whole.data / name).read_bytes()
    steps = [record[metrics.STEP] for record in read_jsonl(run.metrics)]
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("request_stop", ["SIGTERM", "SIGUSR1", "SIGINT", "STOP"])
def test_a_stopped_run_goes_on(whole: RunDir, tmp_path: Path, request_stop: str) -> None:
    run = open_run(compose(tmp_path, "stopped"))
    child = start(run, 0.1)
    wait_for(run, 4)
    if request_stop == "STOP":
        run.stop.touch()
    else:
        os.kill(child.pid, signal.Signals[request_stop])
    assert child.wait(timeout=60) == EXIT_SAVED
    assert run.state() is State.saved
    assert not (run.data / "data.jsonl").exists()
    code, run = run_scripted(tmp_path, "stopped")
    assert code == EXIT_DONE
    assert (run.data / "data.jsonl").read_bytes() == (whole.data / "data.jsonl").read_bytes()


def test_the_batch_size_does_not_change_the_rows(whole: RunDir, tmp_path: Path) -> None:
    _, run = run_scripted(tmp_path, "batch", "generator.batch_size=7")
    assert (run.data / "data.jsonl").read_bytes() == (whole.data / "data.jsonl").read_bytes()


def test_max_requests_ends_a_run_that_cannot_fill_its_pool(tmp_path: Path) -> None:
    code, run = run_scripted(tmp_path, "short", "max_requests=6")
    assert code == EXIT_DONE
    result = read_json(run.result)
    assert result["requests"] == 6
    assert 0 < result["rows"] < 60


def test_a_teacher_that_fails_is_recorded(tmp_path: Path) -> None:
    class Broken(ScriptedTeacher):
        def answer(self, requests: object) -> list[object]:  # type: ignore[override]
            raise RuntimeError("out of memory")

    config = compose(tmp_path, "broken")
    run = open_run(config)
    with pytest.raises(RuntimeError, match="out of memory"):
        live(config, run, Broken(run.path / "asked.jsonl"))
    assert run.state() is State.failed


def test_mistakes_of_the_user_end_with_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = [f"run.root={tmp_path}", "run.name=wrong"]
    assert main([*place, "seeds.path=nowhere.jsonl", "target_rows=0"]) == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert "seeds.path = nowhere.jsonl" in message
    assert "target_rows = 0" in message
    assert main([*place, "seeds.heldout=174"]) == EXIT_USER_ERROR
    assert "method.num_seed_examples = 3: only 1 of 175" in capsys.readouterr().err
    assert RunDir(tmp_path / "wrong").state() is State.failed


def test_the_embedded_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program as a person types it: one short batch of the real model."""
    arguments = [
        "method=alpaca_small",
        "method.max_tokens=24",
        "max_requests=2",
        f"run.root={tmp_path}",
        "run.name=real",
    ]
    assert main(arguments) == EXIT_DONE
    run = RunDir(tmp_path / "real")
    replies = list(read_jsonl(run.data / "ledger.jsonl"))
    assert [reply["sent"]["max_tokens"] for reply in replies] == [24, 24]
    assert all(0 < reply["tokens"] <= 24 for reply in replies)
    assert next(read_jsonl(run.metrics))[metrics.GENERATED_TOKENS_PER_SECOND] > 0
    assert main(["--config", str(run.config)]) == EXIT_DONE
    assert list(read_jsonl(run.data / "ledger.jsonl")) == replies
