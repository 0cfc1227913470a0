"""A judge's score as an expectation: Σ p(s)·s over the scores s (G-Eval, equation 1)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from eval.geval.judge.reply import parse_score
from eval.rubrics.rubric import Criterion
from pacos.llm.request import Reply

DIGIT = re.compile(r"\W*(\d)\W*점?\W*")
"""A token that is one score, surrounded at most by spaces and punctuation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCounts:
    """Counts of the judge's replies by what they contained."""

    replies: int = 0
    strict: int = 0
    """Replies that were the bare score, as the form asks."""
    unparsed: int = 0
    """Replies without a readable score."""
    refused: int = 0
    """Requests without a reply: filtered, or failed at the service."""
    cut: int = 0
    """Replies that reached the token limit; they are counted above as well."""

    def __add__(self, other: ReplyCounts) -> ReplyCounts:
        return ReplyCounts(
            **{name: count + getattr(other, name) for name, count in self.to_json().items()}
        )

    @property
    def failures(self) -> int:
        """Replies without a score. They are counted, and never scored 0."""
        return self.unparsed + self.refused

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ReplyCounts:
        return cls(**{each.name: record[each.name] for each in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDistribution:
    """The judge's distribution over the scores of one text on one criterion."""

    probabilities: Mapping[float, float] = field(default_factory=dict)
    """Probability by score, summing to 1; empty if no reply contained a score."""
    by: str = "none"
    """Source of the probabilities: `logprobs`, `samples`, `text` (one reply, unweighted), or `none`
    without a score."""
    mass: float | None = None
    """Total probability of the score tokens at their position before normalisation (logprobs)."""
    unseen: float | None = None
    """Probability of the tokens that the service did not list at that position, an upper bound on
    what the truncated list hides (logprobs)."""
    counts: ReplyCounts = field(default_factory=ReplyCounts)

    @property
    def mean(self) -> float | None:
        """The expected score; None without a score."""
        if not self.probabilities:
            return None
        return math.fsum(score * share for score, share in self.probabilities.items())

    @property
    def variance(self) -> float | None:
        """Variance of the score: the judge's uncertainty."""
        mean = self.mean
        if mean is None:
            return None
        return math.fsum(share * (score - mean) ** 2 for score, share in self.probabilities.items())

    def to_json(self) -> dict[str, Any]:
        return {
            "score": self.mean,
            "variance": self.variance,
            "by": self.by,
            "probabilities": {f"{score:g}": p for score, p in self.probabilities.items()},
            "mass": self.mass,
            "unseen": self.unseen,
            **self.counts.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ScoreDistribution:
        return cls(
            probabilities={float(score): p for score, p in record["probabilities"].items()},
            by=record["by"],
            mass=record["mass"],
            unseen=record["unseen"],
            counts=ReplyCounts.from_json(record),
        )


def has_logprobs(reply: Reply) -> bool:
    """Return True if a reply has log-probabilities, or is a failure and cannot have any."""
    return bool(reply.logprobs and reply.tokens) or is_refused(reply)


def is_refused(reply: Reply) -> bool:
    """Return True if the service filtered or failed the request."""
    return reply.finish in ("error", "content_filter")


def score_from_logprobs(reply: Reply, criterion: Criterion) -> ScoreDistribution:
    """Return the distribution over scores at the position of the score in one reply.

    The position is that of the token containing the score that the reply states, wherever it is in
    the reply: judges often repeat the label first, or begin with a sentence.
    """
    text = "".join(reply.tokens) if reply.tokens else reply.text
    parsed = None if is_refused(reply) else parse_score(text, criterion)
    counts = _count([reply], [parsed.is_strict if parsed is not None else None])
    if parsed is None:
        return ScoreDistribution(counts=counts)
    index = _token_at(reply.tokens, parsed.position)
    listed = reply.logprobs[index] if index is not None and index < len(reply.logprobs) else {}
    # One score can be several tokens, such as "4" and " 4": their probabilities add up.
    weights: defaultdict[float, float] = defaultdict(float)
    for token, logprob in listed.items():
        digit = DIGIT.fullmatch(token)
        if digit is not None and criterion.low <= int(digit[1]) <= criterion.high:
            weights[float(digit[1])] += math.exp(logprob)
    mass = math.fsum(weights.values())
    if parsed.value not in weights:
        # A fractional score such as 4.5, or a score that shares its token with other text: the
        # listed tokens are not alternatives to it, so the reply counts unweighted.
        return ScoreDistribution(probabilities={parsed.value: 1.0}, by="text", counts=counts)
    return ScoreDistribution(
        probabilities={score: weights[score] / mass for score in sorted(weights)},
        by="logprobs",
        mass=mass,
        # Rounded log-probabilities can sum to slightly more than 1.
        unseen=max(0.0, 1.0 - math.fsum(math.exp(logprob) for logprob in listed.values())),
        counts=counts,
    )


def score_from_samples(replies: Sequence[Reply], criterion: Criterion) -> ScoreDistribution:
    """Return the empirical distribution of the scores in replies sampled at temperature 1."""
    parsed = [
        None if is_refused(reply) else parse_score(reply.text, criterion) for reply in replies
    ]
    frequencies = Counter(score.value for score in parsed if score is not None)
    counts = _count(replies, [None if score is None else score.is_strict for score in parsed])
    total = frequencies.total()
    if not total:
        return ScoreDistribution(counts=counts)
    shares = {score: frequencies[score] / total for score in sorted(frequencies)}
    return ScoreDistribution(probabilities=shares, by="samples", counts=counts)


def _count(replies: Sequence[Reply], strict: Sequence[bool | None]) -> ReplyCounts:
    """Count replies; `strict` is None for those without a score."""
    refused = sum(is_refused(reply) for reply in replies)
    return ReplyCounts(
        replies=len(replies),
        strict=sum(flag is True for flag in strict),
        unparsed=sum(flag is None for flag in strict) - refused,
        refused=refused,
        cut=sum(reply.finish == "length" for reply in replies),
    )


def _token_at(tokens: Sequence[str], position: int) -> int | None:
    """Return the index of the token containing a character position of the joined text."""
    end = 0
    for index, token in enumerate(tokens):
        end += len(token)
        if position < end:
            return index
    return None
