"""How varied the instructions of a data set are: in wording, in what they ask, among themselves."""

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
"""Instructions of a language that wording and verbs are counted in; Korean costs 2 ms each."""
COMPARED = 500
"""Of them compared with every earlier one: 52,000 take 10 s."""
SEGMENT = 1000
"""n-grams among which different ones are counted. In a longer text the share only falls, so sets of
different sizes are compared on segments of one length (mean segmental type-token ratio, Johnson
1944)."""
VERBS, NOUNS = 20, 4
"""Verbs shown, and nouns with each: as many as in Self-Instruct's figure 3."""

VerbObject = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that instructions begin with, and what it is used with most."""

    verb: str
    count: int
    nouns: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class VerbObjects:
    """What instructions ask for, by verb and object."""

    rule: str
    """How the two were found."""
    looked_at: int
    found: int
    """Instructions in which there are both."""
    same_pair: float | None
    """Chance that two of them have the same pair (Simpson 1949; unbiased at any number); None for
    fewer than two."""
    verbs: list[Verb]


@dataclass(frozen=True, slots=True)
class Diversity:
    """Of the instructions in one language, each counted once."""

    instructions: int
    distinct: list[float]
    """Share of different 1-, 2- and 3-grams in a segment, 0 to 1; empty if none is full."""
    verb_objects: VerbObjects
    nearest: list[float]
    """For some, drawn, ROUGE-L F with the closest of all earlier ones, 0 to 1."""


def diversity(instructions: Sequence[str], lang: str, seed: int) -> Diversity:
    """Measure instructions, in the order in which the pool grew; `seed` is of what is drawn."""
    different = list(dict.fromkeys(instructions))
    drawn = different.copy()
    random.Random(derived_seed(seed, "selfinstruct", "diversity", lang)).shuffle(drawn)
    del drawn[DRAWN:]
    return Diversity(
        instructions=len(different),
        distinct=distinct(drawn),
        verb_objects=verb_objects(drawn, lang),
        nearest=[round(score, 3) for score in self_similarity(different, COMPARED, seed)],
    )


def distinct(texts: Iterable[str]) -> list[float]:
    """Distinct-1, -2, -3 (Li et al. 2016), mean over segments of `SEGMENT` n-grams.

    A Korean word counts with its particles, so languages are not to be compared with each other.
    """
    words = [tokenize(text) for text in texts]
    shares = []
    for size in (1, 2, 3):
        grams = [gram for text in words for gram in _grams(text, size)]
        ends = range(SEGMENT, len(grams) + 1, SEGMENT)
        if ends:
            shares.append(fmean(len(set(grams[at - SEGMENT : at])) / SEGMENT for at in ends))
    return shares if len(shares) == 3 else []


def _grams(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def verb_objects(texts: Sequence[str], lang: str) -> VerbObjects:
    """Count verbs with their objects."""
    find: VerbObject = korean.verb_object if lang == "ko" else english.verb_object
    pairs = Counter(pair for pair in map(find, texts) if pair is not None)
    found = pairs.total()
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
    """The most frequent, equal ones by the alphabet."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]
