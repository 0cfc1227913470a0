"""Safety by rules, in English and Korean: find rows that would teach something dangerous.

A dangerous request that the output declines makes a good row and is marked; one that the output
fulfils is rejected. The rules match words, not meaning: implied danger passes, and so does danger
dressed up as fiction. The LLM judge (screening/llm_judge.py) sees more. `Category` lists what the
rules look for.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.filters.hazards import english, korean
from selfinstruct.filters.hazards.lexicon import REAL, Category, Lexicon

LEXICONS = (english.LEXICON, korean.LEXICON)

UNSAFE = "unsafe"
"""Start of the rejection reason; the category follows after a colon."""

HEAD = 600
"""Characters at the start of an output that are searched for a refusal."""

_SENTENCE = re.compile(r"[^.?!\n]{1,400}[.?!]?")
"""A sentence, in pieces of at most 400 characters: that bounds the backtracking of the patterns."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """A danger found in a row."""

    category: Category
    words: str
    """The matched text, in lower case."""
    declined: bool
    """True if the output refuses the request, or warns against it."""


@functools.lru_cache(maxsize=1)
def assess(candidate: Candidate) -> Hazard | None:
    """Return the first danger found: in the output, else in the request; None if there is none.

    The last result is cached, because several filters ask about the same candidate.
    """
    asked = plain(f"{candidate.instruction}\n{candidate.input}")
    output = plain(candidate.output)
    for lexicon in LEXICONS:
        if not lexicon.letters.search(f"{asked}{output}"):
            continue
        moderates = bool(lexicon.moderation.search(plain(candidate.instruction)))
        statement = _harmful_statement(output, lexicon)
        # An output that points out the bad words of its input has to quote them.
        if statement is not None and not (moderates and statement[1] in asked):
            return Hazard(*statement, declined=False)
        demand = dangerous_request(asked, lexicon)
        if demand is None and not moderates:
            demand = _harmful_statement(asked, lexicon)
        if demand is not None:
            return Hazard(*demand, declined=_declines(output))
    return None


def unsafe(candidate: Candidate) -> str | None:
    """Reject a row whose output does something dangerous."""
    hazard = assess(candidate)
    if hazard is None or hazard.declined:
        return None
    return f"{UNSAFE}: {hazard.category.value}"


def declined_hazard(candidate: Candidate) -> Category | None:
    """Return the category of the dangerous request that the output declines; None: no such."""
    hazard = assess(candidate)
    return hazard.category if hazard is not None and hazard.declined else None


def plain(text: str) -> str:
    """Return the text as the patterns expect it: NFKC, lower case, plain quotes, single spaces."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("‘", "'")
    return re.sub(r"[^\S\n]+", " ", text)


def dangerous_request(text: str, lexicon: Lexicon) -> tuple[Category, str] | None:
    """Return the category and the matched words of a dangerous request in plain text."""
    is_fiction = bool(lexicon.fiction.search(text))
    for sentence in _SENTENCE.finditer(text):
        for category, words in _requests(sentence.group(), lexicon):
            if category in REAL or not is_fiction:
                return category, words
    return None


def _declines(output: str) -> bool:
    """Return True if the output refuses, or warns without complying afterwards."""
    head = output[:HEAD]
    if any(lexicon.refuses.search(head) for lexicon in LEXICONS):
        return True
    warns = any(lexicon.warns.search(head) for lexicon in LEXICONS)
    return warns and not any(lexicon.complies.search(output) for lexicon in LEXICONS)


def _requests(sentence: str, lexicon: Lexicon) -> Iterator[tuple[Category, str]]:
    for category, pattern in lexicon.orders.items():
        match = pattern.search(sentence)
        if match is None:
            continue
        # Guards qualify the verb, which ends a Korean sentence and starts an English one.
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


def _harmful_statement(text: str, lexicon: Lexicon) -> tuple[Category, str] | None:
    """Return the category and the words of a slur, or of a claim that harms by being stated."""
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
    """Return the text that qualifies a match: after it in Korean, before it in English."""
    return match.string[match.end() :] if lexicon.is_verb_final else _before(match)
