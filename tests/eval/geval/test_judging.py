"""Answers first, a judge later: real HTTP, a judge that behaves and one that does not."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvalConfig
from eval.configs.geval import Scoring
from eval.engine.answers import AnswerLog
from eval.geval.answers import read_answers
from eval.geval.judge import judge
from eval.geval.records import JudgeResults, read_judge_results
from eval.rubrics.rubric import read_rubric
from eval.run import main
from pacos.errors import EXIT_DONE, EXIT_SAVED, EXIT_USER_ERROR
from pacos.files import read_json
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import JudgePaths, RunPaths
from tests.eval.geval.conftest import judged_by
from tests.eval.geval.judge_server import STEPS, JudgeServer
from tests.pacos.llm.scripted_server import Rule

pytestmark = pytest.mark.usefixtures("own_process")


def live(config: EvalConfig) -> tuple[RunPaths, int]:
    """One life of the run, as the front starts it."""
    gc.collect()  # the lock of an earlier life ends with its objects, here not with its process
    run = open_run(config)
    return run, main(["--config", str(Lives(run).next_config())])


def results(config: EvalConfig, run: RunPaths) -> tuple[JudgeResults, dict[str, Any]]:
    folder = config.judged_folder(run.eval)
    assert folder is not None
    return read_judge_results(folder), read_json(JudgePaths(folder).certificate)


@pytest.fixture
def both(geval: EvalConfig, make_model: Callable[[int], Path]) -> EvalConfig:
    return replace(geval, baseline=str(make_model(2)))


def test_answers_are_written_and_judged_in_two_lives(
    both: EvalConfig, server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run, code = live(both)
    assert code == EXIT_DONE
    assert "answers are written" in capsys.readouterr().err
    assert not run.result.exists()
    written = {path: path.stat().st_mtime_ns for path in run.eval.rglob("answers.jsonl")}
    assert len(written) == 2

    config = judged_by(both, server)
    assert config.lacks_verdicts(run.eval)
    run, code = live(config)
    assert code == EXIT_DONE
    assert not config.lacks_verdicts(run.eval)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    judged, certificate = results(config, run)
    assert len(judged.scores) == 2 * 6 * 2
    assert all(one.distribution.by == "logprobs" for one in judged.scores)
    assert len(judged.pairs) == 6
    # One request a score, two a pair, and the steps of the criterion that has none.
    assert sum(server.seen.values()) == 24 + 12 + 1
    assert certificate["replies"]["strict_rate"] == 1.0
    assert "not known" in " ".join(certificate["warnings"])

    scores = read_json(run.result)
    assert scores["objective"]["name"] == "geval/score"
    assert set(scores["target"]) == {
        *("short/clarity", "short/warmth", "geval/score", "geval/win_rate")
    }
    lines = read_json(run.eval / "comparison.json")["differences"]
    assert {line["name"] for line in lines} == set(scores["target"])
    printed = capsys.readouterr()
    assert "quote: 36 requests" in printed.err
    assert "judge   scripted: 24 scores (24 by logprobs)" in printed.out


def test_steps_are_written_once_and_can_be_used_again(
    answered: EvalConfig, server: JudgeServer
) -> None:
    config = judged_by(answered, server)
    run, _ = live(config)
    folder = config.judged_folder(run.eval)
    assert folder is not None
    kept = read_rubric(folder / "short.yaml")
    assert [one.steps for one in kept.criteria] == [STEPS, "1. Feel."]
    elsewhere = folder.parent.rename(folder.parent.with_name("moved")) / folder.name
    again = read_rubric(elsewhere / "short.yaml")
    assert again.criteria == kept.criteria
    prompts = read_rubric(config.suite.directory() / "short.yaml").prompts
    assert prompts is not None
    assert again.prompts is not None
    assert again.prompts.read_text() == prompts.read_text()


def test_a_service_without_probabilities_is_asked_for_samples(
    answered: EvalConfig, server: JudgeServer
) -> None:
    server.gives_logprobs = False
    config = judged_by(answered, server, concurrency=1)
    config.geval.samples = 5
    run, code = live(config)
    assert code == EXIT_DONE
    judged, certificate = results(config, run)
    assert certificate["scores_by"] == {"samples": 24}
    assert {one.distribution.counts.replies for one in judged.scores} == {5}
    drawn = [sent for sent in server.bodies if sent["temperature"] == 1.0]
    assert len(drawn) == 120


@pytest.mark.parametrize("what", ["no_logprobs", "no_logprobs_500", "no_logprobs_403"])
def test_a_service_that_refuses_probabilities(
    answered: EvalConfig, server: JudgeServer, what: str
) -> None:
    server.rules = [Rule(what)]
    config = judged_by(answered, server)
    config.geval.samples = 3
    run, code = live(config)
    assert code == EXIT_DONE
    assert results(config, run)[1]["scores_by"] == {"samples": 24}


def test_a_service_that_gives_five_probabilities(answered: EvalConfig, server: JudgeServer) -> None:
    server.rules = [Rule("five_logprobs")]
    config = judged_by(answered, server)
    run, code = live(config)
    assert code == EXIT_DONE
    assert results(config, run)[1]["scores_by"] == {"logprobs": 24}


def test_garbage_ends_the_run_early_and_keeps_what_is_there(
    answered: EvalConfig, server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.says = lambda score: "lorem ipsum"
    config = judged_by(answered, server, concurrency=4)
    run, code = live(config)
    assert code == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert "replies contain no score (the latest: 'lorem ipsum'); choose another judge" in message
    asked = sum(server.seen.values())
    assert asked < 36
    assert len(list(run.eval.rglob("answers.jsonl"))) == 2

    server.says = lambda score: f"{score:g}"
    assert live(judged_by(answered, server, model="other"))[1] == EXIT_DONE


def test_garbage_about_a_few_answers_is_no_result(
    answered: EvalConfig,
    server: JudgeServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judge, "PATIENCE", 1000)
    server.says = lambda score: "lorem ipsum"
    run, code = live(judged_by(answered, server))
    assert code == EXIT_USER_ERROR
    assert "contain no score (the latest: 'lorem ipsum')" in capsys.readouterr().err
    assert not run.result.exists()


def test_failures_are_counted_and_never_0(answered: EvalConfig, server: JudgeServer) -> None:
    server.says = lambda score: "no idea" if score == 3 else f"The score is {score:g}."
    server.rules = [Rule("filter", match="Say 0 words")]
    config = judged_by(answered, server)
    run, code = live(config)
    assert code == EXIT_DONE
    judged, certificate = results(config, run)
    missing = [one for one in judged.scores if one.distribution.mean is None]
    assert missing
    assert all((one.distribution.mean or 1) >= 1 for one in judged.scores)
    replies = certificate["replies"]
    assert replies["refused"] == 4
    assert replies["unparsed"] + replies["refused"] == len(missing) == certificate["scores_missing"]
    assert replies["strict"] == 0
    assert "left out of all means" in " ".join(certificate["warnings"])


def test_a_judge_that_goes_by_position_is_told(answered: EvalConfig, server: JudgeServer) -> None:
    server.prefer = lambda first, second: "1"  # type: ignore[method-assign]
    config = judged_by(answered, server)
    run, _ = live(config)
    judged, certificate = results(config, run)
    assert {pair.outcome for pair in judged.pairs} == {"tie"}
    assert certificate["pairs"]["consistent"]["share"] == 0.0
    assert certificate["pairs"]["first_shown_preferred"]["share"] == 1.0
    assert "position bias" in " ".join(certificate["warnings"])
    assert read_json(run.result)["target"]["geval/win_rate"] == 0.5


def test_a_budget_ends_a_life_and_the_next_goes_on(
    answered: EvalConfig, server: JudgeServer
) -> None:
    run, code = live(judged_by(answered, server, budget_usd=0.002, concurrency=1))
    assert code == EXIT_SAVED
    assert Lives(run).state() is State.saved
    asked = sum(server.seen.values())
    assert 0 < asked < 37
    config = judged_by(answered, server, budget_usd=1.0)
    assert live(config)[1] == EXIT_DONE
    assert sum(server.seen.values()) == 37, "nothing is bought twice"


def test_a_stop_keeps_every_reply(
    answered: EvalConfig, server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = judged_by(answered, server, concurrency=1)
    run = open_run(config)
    answer = server.reply

    def stop_at_five(sent: dict[str, Any], prompt: str) -> dict[str, Any]:
        if sum(server.seen.values()) == 5:
            run.stop.touch()
        return answer(sent, prompt)

    server.rules = [Rule("slow", seconds=0.2)]
    monkeypatch.setattr(server, "reply", stop_at_five)
    assert live(config)[1] == EXIT_SAVED
    assert sum(server.seen.values()) < 37
    server.rules = []
    assert live(config)[1] == EXIT_DONE
    assert sum(server.seen.values()) == 37


def test_a_judge_that_is_down_or_throttles(answered: EvalConfig, server: JudgeServer) -> None:
    server.rules = [Rule("429", times=2, seconds=0.01), Rule("500", times=2)]
    config = judged_by(answered, server, retries=6)
    assert live(config)[1] == EXIT_DONE
    server.rules = [Rule("503")]
    assert live(judged_by(answered, server, model="down"))[1] == EXIT_USER_ERROR


def test_reasoning_models_are_only_asked_at_temperature_1(
    answered: EvalConfig, server: JudgeServer
) -> None:
    config = judged_by(answered, server)
    config.geval.scoring, config.geval.samples = Scoring.samples, 2
    assert live(config)[1] == EXIT_DONE
    assert {sent["temperature"] for sent in server.bodies} == {1.0}
    assert not any("logprobs" in sent for sent in server.bodies)


@pytest.mark.slow
def test_answers_that_were_stopped_go_on(
    geval: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(geval, batch_size=1)
    config.geval.temperature, config.geval.answer_tokens = 0.8, 40
    run = open_run(config)
    kept: list[str] = []
    add = AnswerLog.add

    def stop_after(self: AnswerLog, answers: Any) -> None:
        found = list(answers)
        kept.extend(key for key, _ in found)
        add(self, found)
        run.stop.touch()

    monkeypatch.setattr(AnswerLog, "add", stop_after)
    assert live(config)[1] == EXIT_SAVED
    assert 1 <= len(kept) < 6
    assert not (run.eval / "geval" / "target").exists()
    while live(config)[1] == EXIT_SAVED:
        pass
    assert len(kept) == len(set(kept)) == 6, "each answer was drawn once"
    stopped = read_answers(run.eval / "geval" / "target")

    monkeypatch.setattr(AnswerLog, "add", add)
    config.run.name = "whole"
    whole, code = live(config)
    assert code == EXIT_DONE
    assert read_answers(whole.eval / "geval" / "target") == stopped, "draws do not depend on lives"


def test_an_overall_score_needs_all_of_an_answers_scores(
    answered: EvalConfig, server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.rules = [Rule("filter", match="- Warmth:")]
    run, code = live(judged_by(answered, server))
    assert code == EXIT_DONE
    found = read_json(run.result)
    assert found["objective"] == {"name": "geval/score", "value": None, "higher_is_better": True}
    assert set(found["target"]) == {"short/clarity", "geval/win_rate"}
    printed = capsys.readouterr().out
    assert "12 of 24 scores are missing" in printed
    assert "12 of 24 scores are missing" in (run.eval / "comparison.txt").read_text()
