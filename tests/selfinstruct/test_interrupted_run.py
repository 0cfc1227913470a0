"""Runs that are stopped and killed as real processes, and go on."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from pacos.errors import EXIT_DONE, EXIT_SAVED
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.pacos.llm.scripted_server import Rule
from tests.selfinstruct.generator_server import GeneratorServer
from tests.selfinstruct.runs import FILES, answered, compose, run_here, start, wait_for


@pytest.mark.parametrize("method", ["alpaca", "self_instruct"])
@pytest.mark.parametrize("replies", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_comes_to_the_same_rows(tmp_path: Path, method: str, replies: int) -> None:
    more = [f"method={method}"]
    with GeneratorServer([Rule("slow", seconds=0.1)]) as server:
        run = open_run(compose(server.url, tmp_path, "killed", *more))
        child = start(run)
        wait_for(run, replies)
        child.kill()
        child.wait()
        assert Lives(run).state() is State.running
        safe = answered(run)
        server.rules.clear()
        before = server.asked()
        code, run = run_here(server.url, tmp_path, "killed", *more)
        assert code == EXIT_DONE
        again = server.asked() - before
        stored = {
            json.dumps(record["sent"]["prompt"][-1]["content"])
            for record in read_jsonl(run.data / "ledger.jsonl")
            if record["key"] in safe
        }
        assert not stored & {
            json.dumps(json.loads(sent)["messages"][-1]["content"]) for sent in again
        }
        _, undisturbed = run_here(server.url, tmp_path, "undisturbed", *more)
        for name in FILES:
            assert (run.data / name).read_bytes() == (undisturbed.data / name).read_bytes()
        steps = [record[metrics.STEP] for record in read_jsonl(run.metrics)]
        assert steps == list(range(1, len(steps) + 1))


def test_what_is_slow_changes_no_file(tmp_path: Path) -> None:
    """Rejections of instructions, and of what later steps make of them, come in one order."""
    more = ["method=self_instruct", "target_rows=40"]
    refused = Rule("filter", match="for sailors\nIs it classification?")
    slow = Rule("slow", match="Is it classification?", seconds=0.1)
    runs = {}
    with GeneratorServer([refused]) as server:
        for name, rules in (("quick", [refused]), ("slow", [refused, slow])):
            server.rules = rules
            code, runs[name] = run_here(server.url, tmp_path, name, *more)
            assert code == EXIT_DONE
    for name in FILES:
        made = [(run.data / name).read_bytes() for run in runs.values()]
        assert made[0] == made[1], name


@pytest.mark.parametrize(
    "request_stop",
    [
        "SIGTERM",
        "STOP",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGUSR1", "SIGINT")),
    ],
)
def test_a_stopped_run_goes_on(tmp_path: Path, request_stop: str) -> None:
    with GeneratorServer([Rule("slow", seconds=0.1)]) as server:
        run = open_run(compose(server.url, tmp_path, "stopped"))
        child = start(run)
        wait_for(run, 4)
        if request_stop == "STOP":
            run.stop.touch()
        else:
            os.kill(child.pid, signal.Signals[request_stop])
        assert child.wait(timeout=60) == EXIT_SAVED
        assert Lives(run).state() is State.saved
        assert not (run.data / "data.jsonl").exists()
        asked = sum(server.asked().values())
        assert len(answered(run)) == asked, "what was under way is stored"
        server.rules.clear()
        code, run = run_here(server.url, tmp_path, "stopped")
        assert code == EXIT_DONE


def test_a_pilot_stops_to_be_looked_at(server: GeneratorServer, tmp_path: Path) -> None:
    code, run = run_here(server.url, tmp_path, "pilot", "pilot=10")
    assert code == EXIT_SAVED
    generated = [row for row in read_jsonl(run.data / "data.jsonl") if row["source"] == "generated"]
    assert len(generated) == 10
    code, run = run_here(server.url, tmp_path, "pilot")
    assert code == EXIT_DONE
    _, undisturbed = run_here(server.url, tmp_path, "undisturbed")
    assert (run.data / "data.jsonl").read_bytes() == (undisturbed.data / "data.jsonl").read_bytes()


def test_a_budget_stops_a_run_that_goes_on_when_it_is_raised(
    server: GeneratorServer, tmp_path: Path
) -> None:
    run = open_run(
        compose(server.url, tmp_path, "budget", "generator.endpoint.budget_tokens=40000")
    )
    assert start(run).wait(60) == EXIT_SAVED
    assert Lives(run).state() is State.saved
    bought = [row for row in read_jsonl(run.data / "data.jsonl") if row["source"] == "generated"]
    assert 0 < len(bought) == read_json(run.result)["rows"] < 60
    more = "generator.endpoint.budget_tokens=40000000"
    code, run = run_here(server.url, tmp_path, "budget", more)
    assert code == EXIT_DONE


def asked_for(server: GeneratorServer) -> Counter[tuple[str, int]]:
    """How often each prompt with its seed came to the server."""
    return Counter((sent["messages"][-1]["content"], sent["seed"]) for sent in list(server.bodies))


def stored(run: RunPaths) -> set[tuple[str, int]]:
    return {
        (record["sent"]["prompt"][-1]["content"], record["sent"]["sampling"]["seed"])
        for record in read_jsonl(run.data / "ledger.jsonl")
    }


@pytest.mark.slow
def test_fifty_kills_buy_nothing_twice(tmp_path: Path) -> None:
    draw = random.Random(0)
    more = ["target_rows=700", "max_requests=5000", "filters.max_similarity=0.99"]
    with GeneratorServer([Rule("slow", seconds=0.2)]) as server:
        run = open_run(compose(server.url, tmp_path, "killed", *more))
        safe: set[tuple[str, int]] = set()
        counts: Counter[tuple[str, int]] = Counter()
        for _ in range(50):
            enough = len(safe) + draw.randrange(1, 8)
            child = start(run)
            while child.poll() is None and len(answered(run)) < enough:
                time.sleep(draw.random() / 50)
            time.sleep(draw.random() / 20)
            child.kill()
            assert child.wait() == -signal.SIGKILL, "the run must not end before it is killed"
            now = asked_for(server)
            assert all(now[key] == counts[key] for key in safe), "stored, and yet asked again"
            safe, counts = stored(run), now
        server.rules.clear()
        code, run = run_here(server.url, tmp_path, "killed", *more)
        assert code == EXIT_DONE
        _, undisturbed = run_here(server.url, tmp_path, "undisturbed", *more)
    for name in FILES:
        assert (run.data / name).read_bytes() == (undisturbed.data / name).read_bytes()
