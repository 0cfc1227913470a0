"""The certificate of a judge: its replies, its agreement with people, its biases, warnings."""

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
    ScoredPoint,
    agreements,
    correlations,
    length_correlation,
)
from eval.geval.findings.metrics import detectable_differences
from eval.geval.findings.warnings import certificate_warnings
from eval.geval.judge.reply import Preference
from eval.geval.judge.score import ReplyCounts, ScoreDistribution
from eval.geval.records import BASELINE, TARGET, JudgeResults, PairComparison, RatedTextScore
from eval.rubrics.rubric import Rubric
from pacos.files import sha256
from pacos.llm.ledger import Spent
from pacos.proportion import proportion
from pacos.seeds import derived_seed

CURVE_SIZES = (1, 2, 5, 10, 20)
"""Numbers of samples per score for which the judge's agreement is estimated."""
CURVE_DRAWS = 100
"""Random draws per number of samples."""


def certificate(
    config: EvalConfig, rubrics: Mapping[str, Rubric], results: JudgeResults, spent: Spent
) -> dict[str, Any]:
    """Return the content of certificate.json."""
    endpoint = config.judge.endpoint
    assert endpoint is not None
    facts: dict[str, Any] = {
        "judge": endpoint.model,
        "url": endpoint.url,
        "scoring": config.geval.scoring.name,
        "samples": config.geval.samples,
        "rated": {name: sha256(file) for name, file in config.geval.rated_files().items()},
        "spent": asdict(spent),
        "replies": _reply_facts(results.counts()),
        **_score_facts(results),
        "agreement": _agreement(results.rated, config.seed),
        "pairs": pair_facts(results.pairs),
        "length": {
            "spearman_of_score_and_length": length_correlation(*_rubric_ranks(results, rubrics))
        },
        "differences": detectable_differences(config.suite.name, rubrics, results),
    }
    return {**facts, "warnings": list(certificate_warnings(facts))}


def _reply_facts(counts: ReplyCounts) -> dict[str, Any]:
    replies = max(counts.replies, 1)
    return {
        **counts.to_json(),
        "strict_rate": counts.strict / replies,
        "failure_rate": counts.failures / replies,
    }


def _score_facts(results: JudgeResults) -> dict[str, Any]:
    """Return where the scores come from, and how much of the probability they cover."""
    distributions = results.distributions()
    masses = [one.mass for one in distributions if one.mass is not None]
    unseen = [one.unseen for one in distributions if one.unseen is not None]
    return {
        "scores": len(distributions),
        "scores_missing": sum(one.mean is None for one in distributions),
        "scores_by": dict(Counter(one.by for one in distributions)),
        "mean_mass_of_scores": float(np.mean(masses)) if masses else None,
        "most_unseen": max(unseen, default=None),
    }


def _agreement(rated: Sequence[RatedTextScore], seed: int) -> list[dict[str, Any]]:
    """Return the agreement with people by rubric and criterion."""
    groups: defaultdict[tuple[str, str], list[RatedTextScore]] = defaultdict(list)
    for one in rated:
        groups[one.rubric, one.criterion].append(one)
    return [
        {
            "rubric": rubric,
            "criterion": criterion,
            "texts": len(group),
            "without_score": sum(one.distribution.mean is None for one in group),
            "levels": [one.to_json() for one in agreement_levels(group, seed)],
            "pearson_by_samples": sample_curve(group, seed),
            "length": {
                "judge": length_correlation(
                    [one.distribution.mean for one in group if one.distribution.mean is not None],
                    [one.length for one in group if one.distribution.mean is not None],
                ),
                "people": length_correlation(
                    [one.human for one in group], [one.length for one in group]
                ),
            },
        }
        for (rubric, criterion), group in groups.items()
    ]


def agreement_levels(group: Sequence[RatedTextScore], seed: int) -> list[Agreement]:
    """Return the agreement over the texts that have a score."""
    points = [
        ScoredPoint(one.document, one.system, one.distribution.mean, one.human)
        for one in group
        if one.distribution.mean is not None
    ]
    return agreements(points, seed)


def sample_curve(group: Sequence[RatedTextScore], seed: int) -> dict[int, float]:
    """Estimate Pearson's r with people if each score were the mean of fewer single replies.

    Replies are redrawn from the judge's own: from its probabilities, or from its sampled replies
    without replacement. The curve shows what more samples would buy before they are paid for.

    Returns:
        Mean r over `CURVE_DRAWS` draws, by number of replies per score.
    """
    random = np.random.default_rng(derived_seed(seed, "sample curve"))
    usable = [one for one in group if one.distribution.by in ("logprobs", "samples")]
    human = np.array([one.human for one in usable])
    curve: dict[int, float] = {}
    for size in CURVE_SIZES if usable else ():
        # All texts or none: a mean over fewer texts could not be compared along the curve.
        if any(_available_replies(one.distribution) < size for one in usable):
            continue
        values = []
        for _ in range(CURVE_DRAWS):
            judge = np.array([_redrawn_mean(one.distribution, size, random) for one in usable])
            values.append(correlations(judge, human)[0])
        if np.isfinite(values).any():
            curve[size] = float(np.nanmean(values))
    return curve


def _available_replies(distribution: ScoreDistribution) -> float:
    """Return the number of replies that can be drawn; no limit if probabilities are known."""
    if distribution.by == "logprobs":
        return float("inf")
    return distribution.counts.replies - distribution.counts.failures


def _redrawn_mean(distribution: ScoreDistribution, size: int, random: np.random.Generator) -> float:
    """Return the mean of `size` replies drawn from the judge's own."""
    scores = np.array(list(distribution.probabilities))
    shares = np.array(list(distribution.probabilities.values()))
    if distribution.by == "logprobs":
        drawn = random.multinomial(size, shares / shares.sum())
    else:
        # The shares are frequencies of these replies, so this restores their integer counts.
        counts = np.rint(shares * _available_replies(distribution)).astype(int)
        drawn = random.multivariate_hypergeometric(counts, size)
    return float(drawn @ scores / size)


def pair_facts(pairs: Sequence[PairComparison]) -> dict[str, Any] | None:
    """Return the judge's consistency and its position and length bias; None without pairs."""
    if not pairs:
        return None
    readable = [pair for pair in pairs if pair.is_consistent is not None]
    consistent = sum(pair.is_consistent is True for pair in readable)
    # Length bias is only visible where one text won: inconsistent pairs count as ties.
    decided = [pair for pair in readable if pair.outcome in (TARGET, BASELINE)]
    longer_won = [
        (pair.outcome == TARGET) == (pair.target_length > pair.baseline_length)
        for pair in decided
        if pair.target_length != pair.baseline_length
    ]
    preferences = [one for pair in readable for one in (pair.target_first, pair.target_second)]
    first_won = [one is Preference.first for one in preferences if one is not Preference.tie]
    return {
        "pairs": len(pairs),
        "unreadable": len(pairs) - len(readable),
        "consistent": proportion(consistent, len(readable)),
        "first_shown_preferred": proportion(sum(first_won), len(first_won)),
        "longer_preferred": proportion(sum(longer_won), len(longer_won)),
    }


def _rubric_ranks(
    results: JudgeResults, rubrics: Mapping[str, Rubric]
) -> tuple[list[float], list[float]]:
    """Return mean scores and lengths of answers as ranks within their rubric, 0 to 1.

    Ranks and not values: some kinds of text are long and easy, others short and hard, and pooling
    them would show a correlation with length that no single kind has.
    """
    shares: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    lengths = {}
    for one in results.scores:
        if one.distribution.mean is not None:
            key = (one.rubric, one.model, one.id)
            criterion = rubrics[one.rubric].criterion(one.criterion)
            shares[key].append(criterion.share(one.distribution.mean))
            lengths[key] = one.length
    score_ranks: list[float] = []
    length_ranks: list[float] = []
    for rubric in rubrics:
        keys = [key for key in shares if key[0] == rubric]
        if len(keys) > 1:
            score_ranks += _ranks([float(np.mean(shares[key])) for key in keys])
            length_ranks += _ranks([lengths[key] for key in keys])
    return score_ranks, length_ranks


def _ranks(values: Sequence[float]) -> list[float]:
    ranks = (scipy.stats.rankdata(values) - 1) / (len(values) - 1)
    return [float(rank) for rank in ranks]


def summary_lines(certificate: Mapping[str, Any]) -> Iterator[str]:
    """Yield the certificate in short for a person: the judge, its replies, its warnings."""
    replies, usd = certificate["replies"], certificate["spent"]["usd"]
    sources = ", ".join(
        f"{count} missing" if source == "none" else f"{count} by {source}"
        for source, count in certificate["scores_by"].items()
    )
    cost = "" if not usd else f", ${usd:.2f}"
    yield f"judge   {certificate['judge']}: {certificate['scores']} scores ({sources}){cost}"
    yield (
        f"        {replies['failure_rate']:.1%} of {replies['replies']} replies without a score, "
        f"{replies['strict_rate']:.1%} a bare score"
    )
    for one in certificate["agreement"]:
        for level in one["levels"]:
            if level["level"] == "dataset":
                name = f"{one['rubric']}/{one['criterion']}"
                shown = ", ".join(
                    f"{kind.capitalize()} {level[kind]['value']:.2f} "
                    f"({level[kind]['low']:.2f} to {level[kind]['high']:.2f})"
                    for kind in ("pearson", "spearman", "kendall")
                )
                yield f"people  {name}: {shown} over {level['units']} rated texts"
    for warning in certificate["warnings"]:
        yield f"warning {warning}"
