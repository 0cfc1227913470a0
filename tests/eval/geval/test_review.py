"""From a judge's folder to a person's page and back into the results."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvalConfig
from eval.geval.spot_check import BETTER, SpotCheck
from eval.review import last_judge, read_spot_check
from eval.run import main
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from pacos.files import read_json, read_jsonl
from pacos.review.items import Drawn, Rating, Ratings
from pacos.run.lives import Lives
from pacos.run.open import open_run
from pacos.run_paths import JudgePaths, RunPaths
from tests.eval.geval.conftest import judged_by
from tests.eval.geval.judge_server import JudgeServer

pytestmark = pytest.mark.usefixtures("own_process")


@pytest.fixture
def judged(answered: EvalConfig, server: JudgeServer) -> tuple[EvalConfig, RunPaths]:
    """A run of two models that a judge has scored; it goes by position where texts are equal."""
    server.says = lambda score: "hm" if score == 4 else f"{score:g}"
    config = judged_by(answered, server)
    run = open_run(config)
    assert main(["--config", str(Lives(run).next_config())]) == EXIT_DONE
    return config, run


@pytest.fixture
def check(judged: tuple[EvalConfig, RunPaths]) -> SpotCheck:
    config, run = judged
    return read_spot_check(last_judge(run, config), config)


def test_what_is_worth_a_look_comes_first_and_every_second_by_chance(check: SpotCheck) -> None:
    items = check.items()
    assert len(items) == 12 + 6
    answers = [item for item in items if not item.id.startswith("pair/")]
    first = next(one for one in check.scored_answers() if one.id == answers[0].id)
    assert answers[0].drawn is Drawn.chosen
    assert any(score.distribution.mean is None for score in first.scores), (
        "no score at all comes first"
    )
    assert [item.drawn for item in answers[:4]] == [Drawn.chosen, Drawn.random] * 2
    assert [item.id.startswith("pair/") for item in items[:4]] == [False, True] * 2
    assert [question.name for question in answers[0].questions] == ["clarity", "warmth"]
    shown = json.dumps([item.for_page() for item in items])
    assert "short.yaml" not in shown
    assert items == check.items(), "the same every time"


def rate(check: SpotCheck, value: dict[str, float]) -> list[Rating]:
    """A person who gives each model's answers one score, and finds no answer better."""
    return [
        Rating(
            item.id,
            question.name,
            "tie" if question.name == BETTER else value[item.id.split("/")[0]],
            "",
            item.drawn,
        )
        for item in check.items()
        for question in item.questions
    ]


def test_ratings_correct_the_judge(check: SpotCheck) -> None:
    ratings = rate(check, {"target": 5.0, "baseline": 1.0})
    found = check.findings(ratings)
    assert (found["ratings"], found["answers"], found["pairs"]) == (12 * 2 + 6, 12, 6)
    corrected = {one["name"]: one for one in found["corrected"]}
    assert corrected["target: geval/score"]["people"]["value"] == pytest.approx(1.0)
    assert corrected["baseline: geval/score"]["people"]["value"] == pytest.approx(0.0)
    assert corrected["geval/win_rate"]["people"]["value"] == pytest.approx(0.5)
    assert found["agreement_on_pairs"]["pairs"] == 6
    assert found["agreement"]["all"]["ratings"] > found["agreement"]["by_chance"]["ratings"] > 0


def test_a_few_ratings_say_little(check: SpotCheck) -> None:
    assert check.findings([])["corrected"] == []
    assert check.findings(rate(check, {"target": 5.0, "baseline": 1.0})[:2])["corrected"] == []


def test_an_unjudged_run_is_told_what_to_do(answered: EvalConfig) -> None:
    with pytest.raises(Exception, match="no judge has scored this run yet"):
        last_judge(open_run(answered), answered)


def begun(run: Path) -> tuple[subprocess.Popen[str], str]:
    """`pacos review` as a user types it, and the address that it prints."""
    command = [sys.executable, "-m", "launch.cli", "review", str(run)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    found = re.fullmatch(r"open (http://127\.0\.0\.1:\d+/\S+/)\n", line)
    assert found is not None, line + child.stdout.read()
    return child, found[1]


def post(url: str, rating: dict[str, Any]) -> None:
    data = json.dumps(rating).encode()
    with urllib.request.urlopen(f"{url}ratings", data=data, timeout=30) as reply:
        assert json.loads(reply.read()) == {"saved": True}


def test_the_command_serves_saves_and_works_the_ratings_in(
    judged: tuple[EvalConfig, RunPaths], check: SpotCheck
) -> None:
    config, run = judged
    folder = last_judge(run, config)
    ratings = rate(check, {"target": 4.0, "baseline": 2.0})
    child, url = begun(run.path)
    post(url, {"item": ratings[0].item, "question": ratings[0].question, "value": ratings[0].value})
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)
    assert len(list(read_jsonl(JudgePaths(folder).ratings))) == 1, "a kill loses nothing"

    child, url = begun(run.path)
    with urllib.request.urlopen(f"{url}state", timeout=30) as reply:
        assert len(json.loads(reply.read())["ratings"]) == 1
    for one in ratings[1:]:
        post(url, {"item": one.item, "question": one.question, "value": one.value})
    child.send_signal(signal.SIGTERM)
    rest, _ = child.communicate(timeout=120)
    assert child.returncode == EXIT_DONE, rest
    people = read_json(JudgePaths(folder).people)
    assert people["ratings"] == len(ratings)
    assert "target: geval/score: judge" in rest
    assert str(run.report) in rest
    report = run.report.read_text()
    assert "Human ratings" in report
    assert read_json(JudgePaths(folder).certificate)["judge"] == "scripted"
    assert len(Ratings(JudgePaths(folder).ratings).all()) == len(ratings)


def test_what_is_no_run_to_look_at(
    answered: EvalConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from launch.cli import main as front

    def typed(*words: str) -> str:
        sys_argv, sys.argv = sys.argv, ["pacos", "review", *words]
        try:
            assert front() == EXIT_USER_ERROR
        finally:
            sys.argv = sys_argv
        said = capfd.readouterr()
        return said.out + said.err

    assert "usage: pacos review" in typed()
    assert "not a run" in typed(str(tmp_path))
    assert "no judge has scored this run yet" in typed(str(open_run(answered).path))
    trained = replace(answered.run, name="sft")
    folder = Path(trained.root) / "sft"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"stage": "sft"}')
    assert "has nothing to rate" in typed(str(folder))
    (folder / "manifest.json").write_text('{"stage": "pipeline"}')
    assert "choose one of its runs" in typed(str(folder))
