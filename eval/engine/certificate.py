"""A sample of every run computed again by lm_eval's own code, and the differences found."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from eval.engine.scoring import LogLikelihood

if TYPE_CHECKING:
    from eval.lm_eval_api import Instance

ITEMS_PER_SAMPLE = 100
"""One item in this many is computed again. lm_eval's code costs up to six times as much per item,
so the certificate adds at most 6 %."""
SMALL_SAMPLE = 4
ITEMS_PER_SMALL_SAMPLE = 20
"""Up to SMALL_SAMPLE items, one in ITEMS_PER_SMALL_SAMPLE is taken instead, but at least one: a run
of few items keeps a certificate and stays fast."""
MAX_ITEMS = 64
"""Most items that are computed again, however many the run has."""

TOLERANCE = 1e-4
"""Largest difference of log-likelihoods in fp32, in nats, that rounding explains."""


@dataclass(slots=True)
class Certificate:
    """Agreement of the engine with lm_eval's own code. The fields are keys of certificate.json."""

    shares_contexts: bool = True
    """False if the model is computed by lm_eval's code anyway."""
    items: int = 0
    """Items whose choices were scored again."""
    choices: int = 0
    max_difference: float = 0.0
    """Largest difference of a log-likelihood, in nats."""
    flips: int = 0
    """Items for which another choice came out as the likeliest."""
    flips_beyond_rounding: int = 0
    """Flips where the two likeliest choices differ by more than twice TOLERANCE."""
    greedy_flips: int = 0
    """Choices that only one of the two ways takes for the greedy continuation."""
    answers: int = 0
    """Prompts that were answered again. Sampled answers are left out."""
    different_answers: int = 0
    tasks: list[str] = field(default_factory=list)
    """Tasks that the sample comes from."""

    def compare_scores(self, fast: Sequence[LogLikelihood], plain: Sequence[LogLikelihood]) -> None:
        """Add the choices of one item."""
        old, new = ([score for score, _ in scores] for scores in (plain, fast))
        self.items += 1
        self.choices += len(old)
        largest = max(abs(one - other) for one, other in zip(old, new, strict=True))
        self.max_difference = max(self.max_difference, largest)
        self.greedy_flips += sum(one[1] != other[1] for one, other in zip(fast, plain, strict=True))
        if old.index(max(old)) != new.index(max(new)):
            self.flips += 1
            first, second = sorted(old, reverse=True)[:2]
            # Each of the two scores may move by TOLERANCE.
            self.flips_beyond_rounding += first - second > 2 * TOLERANCE

    def compare_answer(self, fast: str, plain: str) -> None:
        """Add an answer."""
        self.answers += 1
        self.different_answers += fast != plain

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        parts = []
        if self.items:
            parts.append(
                f"{_count(self.items, 'item')} scored again by the harness's own code: "
                f"log-likelihoods differ by at most {self.max_difference:.1e} nats, "
                f"{_count(self.flips, 'decision')} changed"
            )
        if self.answers:
            parts.append(
                f"{_count(self.answers, 'prompt')} answered again: "
                f"{_count(self.different_answers, 'answer')} changed"
            )
        return "; ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def sample_items(requests: Sequence[Instance], seed: int) -> list[list[int]]:
    """Draw the items to compute again. Return the request indices of each."""
    items: defaultdict[tuple[str | None, int | None], list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        items[request.task_name, request.doc_id].append(index)
    small = min(SMALL_SAMPLE, len(items) // ITEMS_PER_SMALL_SAMPLE)
    count = min(MAX_ITEMS, max(1, small, len(items) // ITEMS_PER_SAMPLE))
    return random.Random(seed).sample(list(items.values()), count)
