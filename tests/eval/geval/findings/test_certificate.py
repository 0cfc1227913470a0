"""What a judge is worth: agreement with people, biases, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.config import EvalConfig
from eval.geval.findings import agreement, certificate
from eval.geval.findings.certificate import agreement_levels, pair_facts, sample_curve
from eval.geval.findings.metrics import (
    detectable_differences,
    mean_metrics,
    minimum_detectable,
    score_tables,
)
from eval.geval.findings.warnings import parameters_in_billions
from eval.geval.judge.reply import Preference
from eval.geval.judge.score import ReplyCounts, ScoreDistribution
from eval.geval.records import (
    AnswerScore,
    JudgeResults,
    PairComparison,
    RatedTextScore,
)
from eval.rubrics.rubric import Rubric, read_rubric
from eval.run import main
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from pacos.files import read_json
from pacos.run.lives import Lives
from pacos.run.open import open_run
from pacos.run_paths import JudgePaths
from tests.eval.geval.conftest import judged_by
from tests.eval.geval.judge_server import JudgeServer

FIRST, SECOND, EQUAL = Preference.first, Preference.second, Preference.tie


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "RESAMPLES", 50)
    monkeypatch.setattr(certificate, "CURVE_DRAWS", 20)


def distribution(**shares: float) -> ScoreDistribution:
    probabilities = {float(name[1:]): share for name, share in shares.items()}
    counts = ReplyCounts(replies=20)
    return ScoreDistribution(probabilities=probabilities, by="samples", counts=counts)


def scored(model: str, number: int, value: float | None, criterion: str = "clarity") -> AnswerScore:
    found = (
        ScoreDistribution(counts=ReplyCounts(replies=1, unparsed=1))
        if value is None
        else ScoreDistribution(probabilities={value: 1.0}, by="text", counts=ReplyCounts(replies=1))
    )
    return AnswerScore(model, "short", f"p{number}", criterion, 10, found)


@pytest.fixture
def known(rubrics: Path) -> dict[str, Rubric]:
    return {"short": read_rubric(rubrics / "short.yaml")}


def test_the_judge_is_tested_on_texts_that_people_rated(
    answered: EvalConfig, server: JudgeServer, tmp_path: Path, own_process: None
) -> None:
    people = tmp_path / "people"
    people.mkdir()
    records = [
        {
            "source": f"question {document}",
            "system_id": system,
            "system_output": "word " * (4 * system + document % 4),
            "scores": {"clarity": system + document % 2, "unknown": 3},
        }
        for document in range(12)
        for system in range(4)
    ]
    (people / "short.json").write_text(json.dumps(records))
    config = judged_by(replace(answered, geval=replace(answered.geval, rated=str(people))), server)
    run = open_run(config)
    assert main(["--config", str(Lives(run).next_config())]) == EXIT_DONE
    folder = config.judged_folder(run.eval)
    assert folder is not None
    found = read_json(JudgePaths(folder).certificate)
    (one,) = found["agreement"]
    assert (one["rubric"], one["criterion"], one["texts"]) == ("short", "clarity", 48)
    levels = {level["level"]: level for level in one["levels"]}
    assert set(levels) == {"dataset", "summary", "system"}
    assert levels["dataset"]["spearman"]["value"] > 0.8
    assert levels["system"]["pearson"]["value"] > 0.9
    assert one["length"]["judge"] > 0.9
    curve = one["pearson_by_samples"]
    assert curve["1"] < curve["20"] <= levels["dataset"]["pearson"]["value"] + 0.02
    assert not any("agrees" in warning for warning in found["warnings"])
    assert found["rated"].keys() == {"short"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a JSON list of objects"),
        ('[{"source": "s"}]', "system_output"),
        ('[{"source": "s", "system_output": "o", "scores": {"x": 1}}]', "clarity, warmth"),
    ],
)
def test_a_bad_file_of_ratings(
    answered: EvalConfig,
    server: JudgeServer,
    tmp_path: Path,
    own_process: None,
    capsys: pytest.CaptureFixture[str],
    content: str,
    message: str,
) -> None:
    (tmp_path / "short.json").write_text(content)
    geval = replace(answered.geval, rated=str(tmp_path))
    run = open_run(judged_by(replace(answered, geval=geval), server))
    assert main(["--config", str(Lives(run).next_config())]) == EXIT_USER_ERROR
    assert message in capsys.readouterr().err
    assert not server.seen


def test_real_ratings_are_read(shared_data: Path, rubrics: Path) -> None:
    from eval.geval.human_ratings import read_human_ratings
    from pacos.suites import SHIPPED_SUITES

    rubric = read_rubric(SHIPPED_SUITES / "geval" / "dialogue_en.yaml")
    file = shared_data / "unieval" / "data" / "topical_chat.json"
    texts = read_human_ratings(file, rubric, None)
    assert len(texts) == 360
    assert set(texts[0].ratings) == {"naturalness", "coherence", "engagingness", "groundedness"}
    assert all(text.text.context for text in texts)
    assert len(read_human_ratings(file, rubric, 5)) == 30, "a limit takes whole documents"


def test_more_samples_agree_better() -> None:
    group = [
        RatedTextScore(
            "r",
            "c",
            f"d{human}{n}",
            "s",
            float(human),
            9,
            distribution(**{f"s{human}": 0.5, f"s{human - 1}": 0.25, f"s{human + 1}": 0.25}),
        )
        for human in (2, 3, 4)
        for n in range(10)
    ]
    curve = sample_curve(group, seed=1)
    assert list(curve) == [1, 2, 5, 10, 20]
    assert curve[1] < curve[5] < curve[20]
    (level,) = agreement_levels(group, seed=1)
    assert curve[20] == pytest.approx(level.pearson.value), "all replies are the score itself"


def pair(front: Preference | None, back: Preference | None, longer: bool = True) -> PairComparison:
    return PairComparison(
        "short", "p", front, back, 20 if longer else 10, 15, ReplyCounts(replies=2)
    )


def test_orders_that_disagree_are_ties() -> None:
    target, baseline = pair(FIRST, SECOND), pair(SECOND, FIRST)
    assert [one.outcome for one in (target, baseline)] == ["target", "baseline"]
    assert [one.target_share for one in (target, baseline)] == [1.0, 0.0]
    by_position, torn = pair(FIRST, FIRST), pair(FIRST, EQUAL)
    assert [one.outcome for one in (by_position, torn)] == ["tie", "tie"]
    assert pair(EQUAL, EQUAL).is_consistent
    assert pair(None, FIRST).outcome is None
    assert pair(None, FIRST).target_share is None
    facts = pair_facts([target, baseline, by_position, torn, pair(None, FIRST)])
    assert facts is not None
    assert facts["unreadable"] == 1
    assert facts["consistent"]["share"] == 0.5
    assert (facts["longer_preferred"]["count"], facts["longer_preferred"]["of"]) == (1, 2)
    assert facts["first_shown_preferred"]["count"] == 5
    assert facts["first_shown_preferred"]["of"] == 7
    assert pair_facts([]) is None


def test_a_missing_score_is_left_out_and_not_0(known: dict[str, Rubric]) -> None:
    judged = JudgeResults(
        [
            *(scored("target", 0, 4.0), scored("target", 0, 2.0, "warmth")),
            *(scored("target", 1, 5.0), scored("target", 1, None, "warmth")),
        ],
        [],
        [],
    )
    found = mean_metrics("geval", known, judged, "target")
    assert found == {"short/clarity": 4.5, "short/warmth": 2.0, "geval/score": 0.5}
    assert list(score_tables("geval", known, judged, "target")["geval/score"]) == [("short", "p0")]


def test_a_difference_that_the_items_cannot_show(known: dict[str, Rubric]) -> None:
    before = [3.0, 4.0, 2.0, 5.0, 3.0, 4.0]
    after = [4.0, 3.0, 3.0, 5.0, 3.0, 4.0]
    scores = [scored("baseline", n, value) for n, value in enumerate(before)]
    scores += [scored("target", n, value) for n, value in enumerate(after)]
    found: dict[str, Any] = {
        one["name"]: one
        for one in detectable_differences("geval", known, JudgeResults(scores, [], []))
    }
    one = found["short/clarity"]
    assert one["difference"] == pytest.approx(1 / 6)
    # sd 0.7528 of six differences: 2.8016 · 0.7528 / √6.
    assert one["minimum_detectable"] == pytest.approx(0.861, abs=1e-3)
    assert one["is_below"]
    assert minimum_detectable([1.0, 1.0]) == 0.0


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", 0.135),
        ("meta-llama/Llama-3.1-8B-Instruct", 8.0),
        ("Qwen3-30B-A3B", 30.0),
        ("gemma_7b_it", 7.0),
        ("gpt-4.1-mini", None),
        ("o3", None),
        ("claude-3b2", None),
    ],
)
def test_sizes_in_names(model: str, size: float | None) -> None:
    assert parameters_in_billions(model) == size
