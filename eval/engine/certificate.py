"""A sample of every run computed again the harness's own way, and what came out differently."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from eval.engine.scoring import Score

SHARE = 100
"""One item in so many is computed again; an item costs up to six times what it did before."""
FEW, SHARE_OF_FEW = 4, 20
MOST = 64
"""Up to FEW items one in SHARE_OF_FEW, but one at least: a quick look stays quick; never more than
MOST."""

TOLERANCE = 1e-4
"""Largest difference of a log-likelihood in fp32, in nats, that rounding explains."""


@dataclass(slots=True)
class Certificate:
    """How the fast way and the plain way compare."""

    items: int = 0
    """Items whose choices were scored again."""
    choices: int = 0
    max_difference: float = 0.0
    """Largest of a log-likelihood, in nats."""
    flips: int = 0
    """Items of which another choice came out as the likeliest."""
    flips_beyond_rounding: int = 0
    """Those among them where the two likeliest differ by more than twice TOLERANCE."""
    greedy_flips: int = 0
    """Choices that one way takes for what greedy decoding gives, and the other does not."""
    answers: int = 0
    """Prompts that were answered again; those that draw tokens are left out."""
    different_answers: int = 0
    tasks: list[str] = field(default_factory=list)
    """Tasks that the sample is of."""

    def compare_scores(self, fast: Sequence[Score], plain: Sequence[Score]) -> None:
        """Enter the choices of one item."""
        old, new = ([score for score, _ in scores] for scores in (plain, fast))
        self.items += 1
        self.choices += len(old)
        largest = max(abs(one - other) for one, other in zip(old, new, strict=True))
        self.max_difference = max(self.max_difference, largest)
        self.greedy_flips += sum(one[1] != other[1] for one, other in zip(fast, plain, strict=True))
        if old.index(max(old)) != new.index(max(new)):
            self.flips += 1
            first, second = sorted(old, reverse=True)[:2]
            self.flips_beyond_rounding += first - second > 2 * TOLERANCE

    def compare_answer(self, fast: str, plain: str) -> None:
        """Enter an answer."""
        self.answers += 1
        self.different_answers += fast != plain

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        parts = []
        if self.items:
            items = _counted(self.items, "item")
            parts.append(
                f"{items} scored again the plain way: log-likelihoods differ by at most "
                f"{self.max_difference:.1e} nats, {self.flips} decisions are others"
            )
        if self.answers:
            prompts = _counted(self.answers, "prompt")
            parts.append(f"{prompts} answered again: {self.different_answers} differ")
        return "; ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def drawn_items(requests: Sequence[Instance], seed: int) -> list[list[int]]:
    """Items to compute again: for each the numbers of its requests."""
    items: defaultdict[tuple[str | None, int | None], list[int]] = defaultdict(list)
    for number, request in enumerate(requests):
        items[request.task_name, request.doc_id].append(number)
    count = min(MOST, max(1, min(FEW, len(items) // SHARE_OF_FEW), len(items) // SHARE))
    return random.Random(seed).sample(list(items.values()), count)
