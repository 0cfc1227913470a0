"""When a judge's scores are not to be trusted, said in so many words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

WEAK_SPEARMAN = 0.4
"""What G-Eval reaches with GPT-3.5 on SummEval (0.401); with GPT-4 it is about 0.53."""
SMALL_BILLIONS = 30.0
"""Parameters below which a judge counts as small; its scores on fine points are mostly noise."""
MOST_FAILURES = 0.05
MOST_CUT = 0.01
LEAST_MASS = 0.9
LEAST_CONSISTENCY = 0.7
MOST_LONGER = 0.7
"""Judges of AlpacaEval prefer the longer text in 0.65 to 0.75 of pairs, people in 0.64."""

SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([BM])(?![A-Za-z0-9])", re.IGNORECASE)


def cautions(facts: Mapping[str, Any]) -> Iterator[str]:
    """What a reader of the scores must know, from the certificate's other content."""
    yield from _of_the_judge(facts)
    yield from _of_its_replies(facts)
    yield from _of_pairs(facts["pairs"] or {})
    for one in facts["differences"]:
        if one["name"].endswith("/score") and one["is_below"]:
            yield (
                f"{one['name']}: the difference {one['difference']:+.3f} is below "
                f"{one['minimum_detectable']:.3f}, the smallest that {one['items']} items can "
                "show: do not rank the models by it"
            )


def _of_pairs(pairs: Mapping[str, Any]) -> Iterator[str]:
    consistent, longer = pairs.get("consistent"), pairs.get("longer_preferred")
    if consistent and consistent["share"] < LEAST_CONSISTENCY:
        yield (
            f"only {consistent['share']:.0%} of pairs have one verdict in both orders: the judge "
            "goes by position; the others count as ties"
        )
    if longer and longer["share"] > MOST_LONGER and longer["low"] > 0.5:
        yield f"the longer text wins {longer['share']:.0%} of decided pairs (people: about 64 %)"


def _of_the_judge(facts: Mapping[str, Any]) -> Iterator[str]:
    size = billions(facts["judge"])
    if size is not None and size < SMALL_BILLIONS:
        yield (
            f"{facts['judge']} is a small model, and small judges are unreliable: use a strong "
            "one, and look at a part by hand (pacos review)"
        )
    if not facts["agreement"]:
        yield (
            "how far this judge agrees with people is not known: give it texts that people rated "
            "(geval.rated), or rate some of these answers (pacos review)"
        )
    for one in facts["agreement"]:
        spearman = next((x["spearman"] for x in one["levels"] if x["level"] == "dataset"), None)
        name = f"{one['rubric']}/{one['criterion']}"
        if spearman is None:
            yield f"{name}: the judge gives rated texts one score, or none"
        elif spearman["low"] < WEAK_SPEARMAN:
            is_low = spearman["value"] < WEAK_SPEARMAN
            what = "agrees little with people" if is_low else "may agree little with people"
            yield (
                f"{name}: the judge {what}: Spearman {spearman['value']:.2f}, 95 % interval "
                f"{spearman['low']:.2f} to {spearman['high']:.2f}; GPT-4 reaches about 0.5"
            )


def _of_its_replies(facts: Mapping[str, Any]) -> Iterator[str]:
    replies, missing = facts["replies"], facts["scores_missing"]
    if replies["failure_rate"] > MOST_FAILURES:
        yield (
            f"{replies['failure_rate']:.0%} of its replies hold no score "
            f"({replies['unparsed']} unreadable, {replies['refused']} refused); {missing} of "
            f"{facts['scores']} scores are missing, and are left out of all means"
        )
    if replies["cut"] > MOST_CUT * max(replies["replies"], 1):
        yield f"{replies['cut']} replies were cut off: raise geval.reply_tokens"
    mass = facts["mean_mass_of_scores"]
    if mass is not None and mass < LEAST_MASS:
        yield (
            f"only {mass:.0%} of the probability at the score's place is on scores: the judge "
            "would rather say something else"
        )


def billions(model: str) -> float | None:
    """Parameters in a model's name, such as Llama-3.1-8B; None where it names none."""
    found = SIZE.search(model.replace("_", " "))
    if found is None:
        return None
    return float(found[1]) * (1.0 if found[2].upper() == "B" else 1e-3)
