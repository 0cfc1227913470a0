"""Diversity of instructions: distinct n-grams, verb-object pairs, and similarity to each other."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from pacos.seeds import derived_seed
from pacos.text.words import tokenize
from selfinstruct.dataset.verb_objects import english, korean
from selfinstruct.pool.novelty import self_similarity

DRAWN = 1000
"""Instructions sampled per language for wording and verbs; a Korean one costs 2 ms."""
COMPARED = 500
"""Instructions sampled for the comparison with all earlier ones; 10 s in a pool of 52,000."""
SEGMENT = 1000
"""n-grams per segment in which distinct ones are counted. The share falls with the length of a
text, so data sets of different sizes are compared on segments of one length (mean segmental
type-token ratio, Johnson 1944)."""
VERBS, NOUNS = 20, 4
"""Most frequent verbs reported, and nouns per verb: as many as in Self-Instruct's figure 3."""

VerbObject = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of instructions, with its most frequent objects."""

    verb: str
    count: int
    nouns: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class VerbObjects:
    """Verb-object pairs of instructions."""

    rule: str
    """Name of the rule that found the pairs."""
    looked_at: int
    """Instructions examined."""
    found: int
    """Instructions with a pair."""
    same_pair: float | None
    """Probability that two random instructions have the same pair (Simpson 1949, unbiased for any
    sample size); None for fewer than two pairs."""
    verbs: list[Verb]
    """The most frequent verbs."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """Diversity of the distinct instructions in one language."""

    instructions: int
    """Number of distinct instructions."""
    distinct: list[float]
    """Share of distinct 1-, 2- and 3-grams in a segment, 0 to 1; empty if no segment is full."""
    verb_objects: VerbObjects
    nearest: list[float]
    """ROUGE-L F of sampled instructions with the nearest of all earlier ones, 0 to 1."""


def diversity(instructions: Sequence[str], lang: str, seed: int) -> Diversity:
    """Measure instructions, given in the order in which the pool grew; `seed` is of the samples."""
    # Instances of one instruction share it; counted once each, they do not look like repetition.
    unique = list(dict.fromkeys(instructions))
    drawn = unique.copy()
    random.Random(derived_seed(seed, "selfinstruct", "diversity", lang)).shuffle(drawn)
    del drawn[DRAWN:]
    return Diversity(
        instructions=len(unique),
        distinct=distinct(drawn),
        verb_objects=verb_objects(drawn, lang),
        nearest=[round(score, 3) for score in self_similarity(unique, COMPARED, seed)],
    )


def distinct(texts: Iterable[str]) -> list[float]:
    """Return distinct-1, -2 and -3 (Li et al. 2016), averaged over segments of `SEGMENT` n-grams.

    Do not compare languages: a Korean word counts with its particles.
    """
    words = [tokenize(text) for text in texts]
    shares = []
    for size in (1, 2, 3):
        grams = [gram for text in words for gram in _grams(text, size)]
        ends = range(SEGMENT, len(grams) + 1, SEGMENT)
        if ends:
            shares.append(fmean(len(set(grams[at - SEGMENT : at])) / SEGMENT for at in ends))
    # All three sizes or none, so that a place in the list always means the same size.
    return shares if len(shares) == 3 else []


def _grams(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def verb_objects(texts: Sequence[str], lang: str) -> VerbObjects:
    """Count the verb-object pairs of texts in one language."""
    find: VerbObject = korean.verb_object if lang == "ko" else english.verb_object
    pairs = Counter(pair for pair in map(find, texts) if pair is not None)
    found = pairs.total()
    # Simpson's unbiased estimator: ordered pairs of instructions with the same pair, over all.
    same = sum(count * (count - 1) for count in pairs.values())
    verbs = Counter[str]()
    for (verb, _), count in pairs.items():
        verbs[verb] += count
    return VerbObjects(
        rule=korean.rule() if lang == "ko" else english.RULE,
        looked_at=len(texts),
        found=found,
        same_pair=same / (found * (found - 1)) if found > 1 else None,
        verbs=[Verb(verb, count, _nouns(pairs, verb)) for verb, count in _top(verbs, VERBS)],
    )


def _nouns(pairs: Counter[tuple[str, str]], verb: str) -> list[tuple[str, int]]:
    nouns = Counter({noun: count for (used, noun), count in pairs.items() if used == verb})
    return _top(nouns, NOUNS)


def _top(counts: Counter[str], number: int) -> list[tuple[str, int]]:
    """Return the most frequent keys, ties in alphabetical order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]
