"""Warnings of a certificate: reasons not to trust a judge's scores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

WEAK_SPEARMAN = 0.4
"""Agreement below which a judge is called weak. G-Eval reaches 0.401 on SummEval with GPT-3.5, and
about 0.53 with GPT-4 (Liu et al. 2023, table 1)."""
SMALL_BILLIONS = 30.0
"""Billions of parameters below which a judge is called small."""
MOST_FAILURES = 0.05
"""Highest acceptable share of replies without a score."""
MOST_CUT = 0.01
"""Highest acceptable share of replies cut off at the token limit."""
LEAST_MASS = 0.9
"""Lowest acceptable mean probability of all score tokens at the score's position."""
LEAST_CONSISTENCY = 0.7
"""Lowest acceptable share of pairs with the same winner in both orders."""
MOST_LONGER = 0.7
"""Highest acceptable share of decided pairs won by the longer text. AlpacaEval's judges prefer the
longer text in 65 to 75 % of pairs, people in 64 %."""

SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([BM])(?![A-Za-z0-9])", re.IGNORECASE)
"""A number of parameters in the name of a model, such as 8B or 135M."""


def certificate_warnings(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything a reader of the scores must know.

    Args:
        facts: the other content of the certificate.
    """
    yield from _judge_warnings(facts)
    yield from _reply_warnings(facts)
    yield from _pair_warnings(facts["pairs"] or {})
    for one in facts["differences"]:
        if one["name"].endswith("/score") and one["is_below"]:
            yield (
                f"{one['name']}: the difference of {one['difference']:+.3f} is smaller than "
                f"{one['minimum_detectable']:.3f}, the smallest that {one['items']} items can "
                "detect; do not rank the models by it"
            )


def _pair_warnings(pairs: Mapping[str, Any]) -> Iterator[str]:
    consistent, longer = pairs.get("consistent"), pairs.get("longer_preferred")
    if consistent and consistent["share"] < LEAST_CONSISTENCY:
        yield (
            f"only {consistent['share']:.0%} of pairs have the same winner in both orders, which "
            "shows position bias; the other pairs count as ties"
        )
    # The interval excludes one half: a few long winners can be chance.
    if longer and longer["share"] > MOST_LONGER and longer["low"] > 0.5:
        yield (
            f"the longer text wins {longer['share']:.0%} of the decided pairs, which suggests "
            "length bias (people: about 64 %)"
        )


def _judge_warnings(facts: Mapping[str, Any]) -> Iterator[str]:
    size = parameters_in_billions(facts["judge"])
    if size is not None and size < SMALL_BILLIONS:
        yield (
            f"{facts['judge']} is a small model, and small judges are unreliable; use a stronger "
            "one, and check a part of the scores by hand (pacos review)"
        )
    if not facts["agreement"]:
        yield (
            "the judge's agreement with people is not known; give it human-rated texts "
            "(geval.rated), or rate some of these answers (pacos review)"
        )
    for one in facts["agreement"]:
        spearman = next((x["spearman"] for x in one["levels"] if x["level"] == "dataset"), None)
        name = f"{one['rubric']}/{one['criterion']}"
        if spearman is None:
            yield (
                f"{name}: the judge gave all human-rated texts the same score, or none at all, so "
                "its agreement with people is not known"
            )
        elif spearman["low"] < WEAK_SPEARMAN:
            is_weak = spearman["value"] < WEAK_SPEARMAN
            claim = "agrees weakly with people" if is_weak else "may agree weakly with people"
            yield (
                f"{name}: the judge {claim}: Spearman {spearman['value']:.2f}, 95 % interval "
                f"{spearman['low']:.2f} to {spearman['high']:.2f} (GPT-4: about 0.5)"
            )


def _reply_warnings(facts: Mapping[str, Any]) -> Iterator[str]:
    replies, missing = facts["replies"], facts["scores_missing"]
    if replies["failure_rate"] > MOST_FAILURES:
        yield (
            f"{replies['failure_rate']:.0%} of the replies contain no score "
            f"({replies['unparsed']} unreadable, {replies['refused']} refused); {missing} of "
            f"{facts['scores']} scores are missing and are left out of all means"
        )
    if replies["cut"] > MOST_CUT * max(replies["replies"], 1):
        yield f"{replies['cut']} replies were cut off at the token limit; raise geval.reply_tokens"
    mass = facts["mean_mass_of_scores"]
    if mass is not None and mass < LEAST_MASS:
        yield (
            f"only {mass:.0%} of the probability at the score's position is on scores; the judge "
            "tends to reply with something else"
        )


def parameters_in_billions(model: str) -> float | None:
    """Return the parameter count in a model's name, such as Llama-3.1-8B; None if it has none."""
    match = SIZE.search(model.replace("_", " "))
    if match is None:
        return None
    return float(match[1]) * (1.0 if match[2].upper() == "B" else 1e-3)
