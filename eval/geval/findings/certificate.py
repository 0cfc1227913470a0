"""What a judge's scores are worth: its replies, its agreement with people, its biases, warnings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import scipy.stats

from eval.config import EvalConfig
from eval.geval.findings.agreement import (
    Agreement,
    Point,
    agreements,
    correlations,
    length_correlation,
)
from eval.geval.findings.cautions import cautions
from eval.geval.findings.figures import comparisons
from eval.geval.judge.reply import Preference
from eval.geval.judge.weighting import Tally, Verdict
from eval.geval.records import BASELINE, TARGET, Judged, Pair, Rated
from eval.rubrics.rubric import Rubric
from pacos.files import sha256
from pacos.llm.ledger import Spent
from pacos.proportion import proportion
from pacos.seeds import derived_seed

CURVE = (1, 2, 5, 10, 20)
"""Numbers of samples for which the judge's agreement is told."""
CURVE_DRAWS = 100


def certificate(
    config: EvalConfig, rubrics: Mapping[str, Rubric], judged: Judged, spent: Spent
) -> dict[str, Any]:
    """The content of certificate.json."""
    endpoint = config.judge.endpoint
    assert endpoint is not None
    facts: dict[str, Any] = {
        "judge": endpoint.model,
        "url": endpoint.url,
        "scoring": config.geval.scoring.name,
        "samples": config.geval.samples,
        "rated": {name: sha256(file) for name, file in config.geval.rated_files().items()},
        "spent": asdict(spent),
        "replies": _replies(judged.tally()),
        **_scores(judged),
        "agreement": _agreement(judged.rated, config.seed),
        "pairs": pair_facts(judged.pairs),
        "length": {
            "spearman_of_score_and_length": length_correlation(*_ranked_in_rubric(judged, rubrics))
        },
        "differences": comparisons(config.suite.name, rubrics, judged),
    }
    return {**facts, "warnings": list(cautions(facts))}


def _replies(tally: Tally) -> dict[str, Any]:
    counts = {name: getattr(tally, name) for name in Tally.__slots__}
    replies = max(tally.replies, 1)
    return {
        **counts,
        "strict_rate": tally.strict / replies,
        "failure_rate": tally.failures / replies,
    }


def _scores(judged: Judged) -> dict[str, Any]:
    """Where scores come from, and how much of the probability they show."""
    verdicts = judged.verdicts()
    masses = [one.mass for one in verdicts if one.mass is not None]
    unseen = [one.unseen for one in verdicts if one.unseen is not None]
    return {
        "scores": len(verdicts),
        "scores_missing": sum(one.score is None for one in verdicts),
        "scores_by": dict(Counter(one.by for one in verdicts)),
        "mean_mass_of_scores": float(np.mean(masses)) if masses else None,
        "most_unseen": max(unseen, default=None),
    }


def _agreement(rated: Sequence[Rated], seed: int) -> list[dict[str, Any]]:
    """By rubric and criterion: correlations with people, by number of samples, and lengths."""
    groups: defaultdict[tuple[str, str], list[Rated]] = defaultdict(list)
    for one in rated:
        groups[one.rubric, one.criterion].append(one)
    return [
        {
            "rubric": rubric,
            "criterion": criterion,
            "texts": len(group),
            "without_score": sum(one.verdict.score is None for one in group),
            "levels": [one.to_json() for one in levels_of(group, seed)],
            "pearson_by_samples": sample_curve(group, seed),
            "length": {
                "judge": length_correlation(
                    [one.verdict.score for one in group if one.verdict.score is not None],
                    [one.length for one in group if one.verdict.score is not None],
                ),
                "people": length_correlation(
                    [one.human for one in group], [one.length for one in group]
                ),
            },
        }
        for (rubric, criterion), group in groups.items()
    ]


def levels_of(group: Sequence[Rated], seed: int) -> list[Agreement]:
    """Agreement over the texts that have a score."""
    points = [
        Point(one.document, one.system, one.verdict.score, one.human)
        for one in group
        if one.verdict.score is not None
    ]
    return agreements(points, seed)


def sample_curve(group: Sequence[Rated], seed: int) -> dict[int, float]:
    """Pearson's r with people if each score were the mean of so many single replies.

    Drawn from what the judge said: from its probabilities, or from its replies without putting
    them back. The mean over draws; what many samples are worth shows before they are paid for.
    """
    random = np.random.default_rng(derived_seed(seed, "sample curve"))
    kept = [one for one in group if one.verdict.by in ("logprobs", "samples")]
    human = np.array([one.human for one in kept])
    found: dict[int, float] = {}
    for size in CURVE if kept else ():
        if any(_replies_of(one.verdict) < size for one in kept):
            continue
        values = []
        for _ in range(CURVE_DRAWS):
            judge = np.array([_mean_of(one.verdict, size, random) for one in kept])
            values.append(correlations(judge, human)[0])
        if np.isfinite(values).any():
            found[size] = float(np.nanmean(values))
    return found


def _replies_of(verdict: Verdict) -> float:
    """Replies that can be drawn: as many as wanted where the probabilities are known."""
    if verdict.by == "logprobs":
        return float("inf")
    return verdict.tally.replies - verdict.tally.failures


def _mean_of(verdict: Verdict, size: int, random: np.random.Generator) -> float:
    scores = np.array(list(verdict.probabilities))
    shares = np.array(list(verdict.probabilities.values()))
    if verdict.by == "logprobs":
        drawn = random.multinomial(size, shares / shares.sum())
    else:
        counts = np.rint(shares * _replies_of(verdict)).astype(int)
        drawn = random.multivariate_hypergeometric(counts, size)
    return float(drawn @ scores / size)


def pair_facts(pairs: Sequence[Pair]) -> dict[str, Any] | None:
    """What both orders say of the judge; None without pairs."""
    if not pairs:
        return None
    both = [pair for pair in pairs if pair.is_consistent is not None]
    consistent = sum(pair.is_consistent is True for pair in both)
    decided = [pair for pair in both if pair.outcome in (TARGET, BASELINE)]
    longer = [
        (pair.outcome == TARGET) == (pair.target_length > pair.baseline_length)
        for pair in decided
        if pair.target_length != pair.baseline_length
    ]
    said = [one for pair in both for one in (pair.target_first, pair.target_second)]
    firsts = [one is Preference.first for one in said if one is not Preference.tie]
    return {
        "pairs": len(pairs),
        "unreadable": len(pairs) - len(both),
        "consistent": proportion(consistent, len(both)),
        "first_shown_preferred": proportion(sum(firsts), len(firsts)),
        "longer_preferred": proportion(sum(longer), len(longer)),
    }


def _ranked_in_rubric(
    judged: Judged, rubrics: Mapping[str, Rubric]
) -> tuple[list[float], list[float]]:
    """Mean scores and lengths of answers as ranks among those of their rubric, 0 to 1."""
    answers: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    lengths = {}
    for one in judged.scores:
        if one.verdict.score is not None:
            key = (one.rubric, one.model, one.id)
            criterion = rubrics[one.rubric].criterion(one.criterion)
            answers[key].append(criterion.share(one.verdict.score))
            lengths[key] = one.length
    scores: list[float] = []
    ranked: list[float] = []
    for rubric in rubrics:
        own = [key for key in answers if key[0] == rubric]
        if len(own) > 1:
            scores += _ranks([float(np.mean(answers[key])) for key in own])
            ranked += _ranks([lengths[key] for key in own])
    return scores, ranked


def _ranks(values: Sequence[float]) -> list[float]:
    ranks = (scipy.stats.rankdata(values) - 1) / (len(values) - 1)
    return [float(rank) for rank in ranks]


def in_words(certificate: Mapping[str, Any]) -> Iterator[str]:
    """The certificate in lines for a person: the judge, its replies, what to beware of."""
    replies, spent = certificate["replies"], certificate["spent"]["usd"]
    ways = ", ".join(
        f"{count} missing" if way == "none" else f"{count} by {way}"
        for way, count in certificate["scores_by"].items()
    )
    cost = "" if not spent else f", ${spent:.2f}"
    yield f"judge   {certificate['judge']}: {certificate['scores']} scores ({ways}){cost}"
    yield (
        f"        {replies['failure_rate']:.1%} of {replies['replies']} replies without a score, "
        f"{replies['strict_rate']:.1%} the score alone"
    )
    for one in certificate["agreement"]:
        for level in one["levels"]:
            if level["level"] == "dataset":
                name = f"{one['rubric']}/{one['criterion']}"
                shown = ", ".join(
                    f"{what.capitalize()} {level[what]['value']:.2f} "
                    f"({level[what]['low']:.2f} to {level[what]['high']:.2f})"
                    for what in ("pearson", "spearman", "kendall")
                )
                yield f"people  {name}: {shown} over {level['units']} rated texts"
    for warning in certificate["warnings"]:
        yield f"beware  {warning}"
