"""The expectation over scores: from tokens' probabilities and from samples."""

from __future__ import annotations

import math
from typing import Any

import pytest

from eval.geval.judge.score import (
    ReplyCounts,
    ScoreDistribution,
    has_logprobs,
    score_from_logprobs,
    score_from_samples,
)
from eval.rubrics.rubric import Criterion
from pacos.llm.request import Reply

FLUENCY = Criterion("fluency", "Fluency", "…", 1, 5)


def reply(text: str, **given: Any) -> Reply:
    return Reply(
        **{"text": text, "finish": "stop", "prompt_tokens": 1, "completion_tokens": 1} | given
    )


def listed(*tokens: tuple[str, dict[str, float]]) -> Reply:
    """A reply whose tokens have these probabilities."""
    logprobs = tuple({text: math.log(p) for text, p in places.items()} for _, places in tokens)
    texts = tuple(text for text, _ in tokens)
    return reply("".join(texts).strip(), tokens=texts, logprobs=logprobs)


def test_probabilities_of_all_scores_count() -> None:
    found = score_from_logprobs(listed(("4", {"4": 0.5, "3": 0.3, "5": 0.1, "The": 0.06})), FLUENCY)
    assert found.probabilities == pytest.approx({3: 1 / 3, 4: 5 / 9, 5: 1 / 9})
    assert found.mean == pytest.approx((3 * 0.3 + 4 * 0.5 + 5 * 0.1) / 0.9)
    assert found.mass == pytest.approx(0.9)
    assert found.unseen == pytest.approx(0.04)
    assert found.variance == pytest.approx(1 / 3 + 5 / 9 * 0 + 1 / 9 - (found.mean - 4) ** 2)
    assert found.by == "logprobs"
    assert found.counts == ReplyCounts(replies=1, strict=1)


def test_the_place_is_that_of_the_score_and_not_the_first() -> None:
    found = score_from_logprobs(
        listed(
            ("-", {"-": 0.9, "2": 0.1}),
            (" Fluency", {" Fluency": 1.0}),
            (":", {":": 1.0}),
            (" ", {" ": 0.9, " 5": 0.1}),
            ("3", {"3": 0.75, "4": 0.25}),
            ("\n", {"\n": 0.6, "1": 0.4}),
        ),
        FLUENCY,
    )
    assert found.mean == pytest.approx(3.25)


def test_a_score_with_and_without_space_is_one() -> None:
    found = score_from_logprobs(listed((" 4", {" 4": 0.4, "4": 0.2, "2": 0.2, "40": 0.2})), FLUENCY)
    assert found.probabilities == pytest.approx({4: 0.75, 2: 0.25})
    assert found.mass == pytest.approx(0.8)


def test_scores_off_the_scale_do_not_count() -> None:
    found = score_from_logprobs(listed(("5", {"5": 0.6, "6": 0.2, "0": 0.2})), FLUENCY)
    assert found.probabilities == {5: 1.0}
    assert found.mass == pytest.approx(0.6)


def test_half_a_score_is_taken_as_it_is() -> None:
    found = score_from_logprobs(
        listed(("4", {"4": 0.9, "3": 0.1}), (".", {".": 1}), ("5", {"5": 1})), FLUENCY
    )
    assert (found.mean, found.by, found.mass) == (4.5, "text", None)


def test_a_reply_without_score_has_none() -> None:
    for text in ("I refuse.", ""):
        found = score_from_logprobs(listed((text, {text: 0.5, "4": 0.5})), FLUENCY)
        assert (found.mean, found.variance, found.by) == (None, None, "none")
        assert found.counts == ReplyCounts(replies=1, unparsed=1)
    filtered = score_from_logprobs(reply("4", finish="content_filter"), FLUENCY)
    assert filtered.mean is None
    assert filtered.counts == ReplyCounts(replies=1, refused=1)


def test_samples_count_as_often_as_they_came() -> None:
    texts = ["4", "4", "5", "I don't know", "Score: 2", "4 out of 5"]
    cut, refused = reply("well, well", finish="length"), reply("", finish="error")
    found = score_from_samples([*map(reply, texts), cut, refused], FLUENCY)
    assert found.probabilities == pytest.approx({2: 0.2, 4: 0.6, 5: 0.2})
    assert found.mean == pytest.approx(3.8), "what cannot be read is no 0"
    assert found.counts == ReplyCounts(replies=8, strict=3, unparsed=2, refused=1, cut=1)
    assert found.counts.failures == 3
    assert score_from_samples([reply("no")] * 3, FLUENCY).mean is None


def test_which_replies_came_with_probabilities() -> None:
    assert has_logprobs(listed(("4", {"4": 1.0})))
    assert not has_logprobs(reply("4"))
    assert has_logprobs(reply("", finish="error")), "nothing to weigh, nothing to ask again"


def test_a_distribution_survives_json() -> None:
    for found in (
        score_from_logprobs(listed(("4", {"4": 0.5, "3": 0.3})), FLUENCY),
        score_from_samples([reply("4"), reply("x")], FLUENCY),
        ScoreDistribution(),
    ):
        assert ScoreDistribution.from_json(found.to_json()) == found
