"""A judge's score as an expectation: Σ p(s)·s over the scores s (G-Eval, equation 1)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.geval.judge.reply import parse_score
from eval.rubrics.rubric import Criterion
from pacos.llm.request import Reply

DIGIT = re.compile(r"\W*(\d)\W*점?\W*")
"""A token that is one score and nothing else but spaces and signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of the judge's replies to one question."""

    replies: int = 0
    strict: int = 0
    """Were the score alone, as the form asks."""
    unparsed: int = 0
    """Held no score."""
    refused: int = 0
    """Were none: filtered, or not answered by the service."""
    cut: int = 0
    """Ended at the token limit; counted besides."""

    def __add__(self, other: Tally) -> Tally:
        counts = {name: getattr(self, name) + getattr(other, name) for name in Tally.__slots__}
        return Tally(**counts)

    @property
    def failures(self) -> int:
        """Replies without a score: they are counted, never scored 0."""
        return self.unparsed + self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge thinks of one text by one criterion."""

    probabilities: Mapping[float, float] = field(default_factory=dict)
    """Score to probability, summing to 1; empty where no reply held a score."""
    by: str = "none"
    """Where the probabilities come from: `logprobs`, `samples`, or `text` (one reply, unweighted);
    `none` without a score."""
    mass: float | None = None
    """Probability of all score tokens at their place before they were scaled to 1 (logprobs)."""
    unseen: float | None = None
    """Probability of the tokens that the service did not list there: what the list's end can
    hide (logprobs)."""
    tally: Tally = field(default_factory=Tally)

    @property
    def score(self) -> float | None:
        """The expectation."""
        if not self.probabilities:
            return None
        return math.fsum(score * share for score, share in self.probabilities.items())

    @property
    def variance(self) -> float | None:
        """How unsure the judge is."""
        mean = self.score
        if mean is None:
            return None
        return math.fsum(share * (score - mean) ** 2 for score, share in self.probabilities.items())

    def to_json(self) -> dict[str, Any]:
        return {
            "score": self.score,
            "variance": self.variance,
            "by": self.by,
            "probabilities": {f"{score:g}": p for score, p in self.probabilities.items()},
            "mass": self.mass,
            "unseen": self.unseen,
            **{name: getattr(self.tally, name) for name in Tally.__slots__},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Verdict:
        shares = {float(score): share for score, share in record["probabilities"].items()}
        tally = Tally(**{name: record[name] for name in Tally.__slots__})
        mass, unseen = record["mass"], record["unseen"]
        return cls(probabilities=shares, by=record["by"], mass=mass, unseen=unseen, tally=tally)


def has_logprobs(reply: Reply) -> bool:
    """Whether log-probabilities came with a reply, or would not be expected: it is no answer."""
    return bool(reply.logprobs and reply.tokens) or reply.finish in ("error", "content_filter")


def weigh_logprobs(reply: Reply, criterion: Criterion) -> Verdict:
    """The verdict of one reply, from the probabilities of all scores at the score's place.

    The place is that of the token which holds the score that the reply gives, wherever the reply
    gives it. Tokens that are the same score with and without a space are added up.
    """
    text = "".join(reply.tokens) if reply.tokens else reply.text
    found = None if _is_refusal(reply) else parse_score(text, criterion)
    tally = _tally([reply], [found.is_strict if found is not None else None])
    if found is None:
        return Verdict(tally=tally)
    place = _token_at(reply.tokens, found.at)
    listed = reply.logprobs[place] if place is not None and place < len(reply.logprobs) else {}
    weights: defaultdict[float, float] = defaultdict(float)
    for token, logprob in listed.items():
        digit = DIGIT.fullmatch(token)
        if digit is not None and criterion.low <= int(digit[1]) <= criterion.high:
            weights[float(digit[1])] += math.exp(logprob)
    mass = math.fsum(weights.values())
    if found.value not in weights:
        # A score such as 4.5, or one that shares its token with other text.
        return Verdict(probabilities={found.value: 1.0}, by="text", tally=tally)
    return Verdict(
        probabilities={score: weights[score] / mass for score in sorted(weights)},
        by="logprobs",
        mass=mass,
        unseen=max(0.0, 1.0 - math.fsum(math.exp(logprob) for logprob in listed.values())),
        tally=tally,
    )


def weigh_samples(replies: Sequence[Reply], criterion: Criterion) -> Verdict:
    """The verdict of several replies drawn at temperature 1, each score as likely as it came."""
    found = [
        None if _is_refusal(reply) else parse_score(reply.text, criterion) for reply in replies
    ]
    counts = Counter(score.value for score in found if score is not None)
    tally = _tally(replies, [None if score is None else score.is_strict for score in found])
    total = counts.total()
    if not total:
        return Verdict(tally=tally)
    shares = {score: counts[score] / total for score in sorted(counts)}
    return Verdict(probabilities=shares, by="samples", tally=tally)


def _is_refusal(reply: Reply) -> bool:
    return reply.finish in ("error", "content_filter")


def _tally(replies: Sequence[Reply], strict: Sequence[bool | None]) -> Tally:
    refused = sum(_is_refusal(reply) for reply in replies)
    return Tally(
        replies=len(replies),
        strict=sum(found is True for found in strict),
        unparsed=sum(found is None for found in strict) - refused,
        refused=refused,
        cut=sum(reply.finish == "length" for reply in replies),
    )


def _token_at(tokens: Sequence[str], at: int) -> int | None:
    """The token that holds the character at a place of their joined text."""
    end = 0
    for place, token in enumerate(tokens):
        end += len(token)
        if at < end:
            return place
    return None
