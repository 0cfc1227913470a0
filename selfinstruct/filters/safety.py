"""Whether a row would teach something dangerous, by rules, in English and Korean.

A dangerous request that the output declines makes a good row, and is marked; one that it fulfils is
dropped. The rules know words, not meaning: what is only implied passes, and so does a danger that
is dressed up as fiction; a judge (`judge.py`) sees more. `Category` says what they look for.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from selfinstruct.config import FilterConfig
from selfinstruct.filters.hazards import english, korean
from selfinstruct.filters.hazards.lexicon import REAL, Category, Lexicon
from selfinstruct.parse import Candidate

LEXICONS = (english.LEXICON, korean.LEXICON)

UNSAFE = "unsafe"
"""Begins the reason of a row that is dropped here; the category follows after a colon."""

HEAD = 600
"""Characters of an output in which it says that it declines."""

_SENTENCE = re.compile(r"[^.?!\n]{1,400}[.?!]?")
"""A longer one is looked at in pieces, so that what a pattern costs is bounded."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """What is dangerous about a row."""

    category: Category
    words: str
    """Where it was seen, in lower case."""
    declined: bool
    """The output does not do what is asked, or speaks against it."""


@functools.lru_cache(maxsize=1)
def assess(candidate: Candidate) -> Hazard | None:
    """The first danger found, those in the output before those in the request.

    The last answer is remembered: several filters ask about one candidate.
    """
    asked = plain(f"{candidate.instruction}\n{candidate.input}")
    output = plain(candidate.output)
    for lexicon in LEXICONS:
        if not lexicon.letters.search(f"{asked}{output}"):
            continue
        moderates = bool(lexicon.moderation.search(plain(candidate.instruction)))
        said = _statement(output, lexicon)
        # Who is asked to find the bad word names it.
        if said is not None and not (moderates and said[1] in asked):
            return Hazard(*said, declined=False)
        wanted = request(asked, lexicon)
        if wanted is None and not moderates:
            wanted = _statement(asked, lexicon)
        if wanted is not None:
            return Hazard(*wanted, declined=declines(output))
    return None


def unsafe(candidate: Candidate, config: FilterConfig) -> str | None:
    """It does something dangerous."""
    hazard = assess(candidate)
    if hazard is None or hazard.declined:
        return None
    return f"{UNSAFE}: {hazard.category.value}"


def declined(candidate: Candidate) -> Category | None:
    """What the output declines to do, where that is right."""
    hazard = assess(candidate)
    return hazard.category if hazard is not None and hazard.declined else None


def plain(text: str) -> str:
    """Lower case, with plain quotes and single blanks: what the patterns are written for."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("‘", "'")
    return re.sub(r"[^\S\n]+", " ", text)


def request(text: str, lexicon: Lexicon) -> tuple[Category, str] | None:
    """A request for something dangerous in plain text, and its words."""
    is_fiction = bool(lexicon.fiction.search(text))
    for sentence in _SENTENCE.finditer(text):
        for category, words in _wanted(sentence.group(), lexicon):
            if category in REAL or not is_fiction:
                return category, words
    return None


def declines(output: str) -> bool:
    """Whether the output, as plain text, says that it will not, or warns of it and does not."""
    head = output[:HEAD]
    if any(lexicon.refuses.search(head) for lexicon in LEXICONS):
        return True
    warns = any(lexicon.warns.search(head) for lexicon in LEXICONS)
    return warns and not any(lexicon.complies.search(output) for lexicon in LEXICONS)


def _wanted(sentence: str, lexicon: Lexicon) -> Iterator[tuple[Category, str]]:
    for category, pattern in lexicon.orders.items():
        match = pattern.search(sentence)
        if match is None:
            continue
        around = sentence[match.start() :] if lexicon.is_verb_final else sentence[: match.end()]
        if category in REAL or not lexicon.guards.search(around):
            yield category, match.group()
    if not lexicon.asks.search(sentence):
        return
    for category, pattern in lexicon.acts.items():
        for match in pattern.finditer(sentence):
            asked = lexicon.asks.search(sentence if lexicon.is_verb_final else _before(match))
            if asked and not lexicon.guards.search(_qualifiers(match, lexicon)):
                yield category, match.group()


def _statement(text: str, lexicon: Lexicon) -> tuple[Category, str] | None:
    """A slur or a claim that harms by being said, and its words."""
    for sentence in _SENTENCE.findall(text):
        if lexicon.quotes.search(sentence):
            continue
        for category, pattern in lexicon.slurs.items():
            if match := pattern.search(sentence):
                return category, match.group()
        for category, pattern in lexicon.claims.items():
            match = pattern.search(sentence)
            if match and not lexicon.denials.search(_qualifiers(match, lexicon)):
                return category, match.group()
    return None


def _before(match: re.Match[str]) -> str:
    return match.string[: match.start()]


def _qualifiers(match: re.Match[str], lexicon: Lexicon) -> str:
    """The part of the sentence in which it is said what is to be thought of a match."""
    return match.string[match.end() :] if lexicon.is_verb_final else _before(match)
