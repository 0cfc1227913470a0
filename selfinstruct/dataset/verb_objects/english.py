"""Verb and object of an English instruction, from closed word lists.

The verb is the first word of the first clause that starts with one of `VERBS` (after "please",
"could you" and the like). The object is the last word of the noun phrase after it, in the singular.
Limits: questions ("What is …?") and other openings have no pair; a verb outside the list is passed
over; an adjective after its noun is taken for the noun. 83 % of 5,000 Alpaca instructions have a
pair; 101 of 103 sampled pairs were right when read by a person.
"""

from __future__ import annotations

import re

from selfinstruct.dataset.verb_objects.vocabulary import (
    ADJECTIVES,
    ARTICLES,
    ENDS,
    NOUNS_IN_IE,
    NOUNS_IN_LY,
    PARTICLES,
    PARTITIVES,
    SKIPPED,
    UNCHANGED,
    VERBS,
)

RULE = "closed word lists"
"""Name of this rule in the report."""

OPENERS = re.compile(
    r"(?:(?:please|kindly|now|then|next|first|firstly|finally|also|just|simply|and|or|so|to|hi|hello"
    r"|let's|try to|be sure to|make sure to|in \d+ words|\w+ly"
    r"|(?:can|could|would|will) you|(?:help|let) (?:me|us)|you (?:are|have|need) to"
    r"|i(?:'d| would)? (?:want|need|like) you to|(?:your|the) (?:task|job|goal) is to)\b[ ,]*)+"
)
"""Phrases before the verb."""

CLAUSE = re.compile(r"[.!?;:\n]+|,|\s[-–—]\s|\s\(")
_SENTENCE_END = re.compile(r"[.!?;:\n]|\s[-–—]\s|\s\(")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W_]+)*['’]?|\d[\d.,]*|,")


def verb_object(instruction: str) -> tuple[str, str] | None:
    """Return verb and object in lower case; None if the rules find no pair."""
    text = instruction.casefold().replace("’", "'")
    start = 0
    while start < len(text):
        mark = CLAUSE.search(text, start)
        end = mark.end() if mark else len(text)
        # Bullets, numbers and quotes before a clause are no words of it.
        begin = start + len(text[start:]) - len(text[start:].lstrip(" \t\"'“”*-•0123456789)"))
        opener = OPENERS.match(text, begin)
        pair = _pair(text, opener.end() if opener else begin)
        if pair is not None:
            return pair
        start = end
    return None


def _pair(text: str, at: int) -> tuple[str, str] | None:
    """Return the pair of the clause that starts at `at`; None unless a verb starts it."""
    mark = _SENTENCE_END.search(text, at)
    words = _TOKEN.findall(text, at, mark.start() if mark else len(text))
    verb = words[0].replace("-", "") if words else ""
    if verb not in VERBS:
        return None
    rest = words[1:]
    # "Compare and contrast": the object follows the second verb.
    if len(rest) > 1 and rest[0] in ("and", "or") and rest[1] in VERBS:
        rest = rest[2:]
    while rest and rest[0] in PARTICLES:
        rest = rest[1:]
    noun = _head(rest)
    return None if noun is None else (verb, noun)


def _head(words: list[str]) -> str | None:
    """Return the head of the noun phrase that the words start with, in the singular."""
    head = None
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        if word == "of" and head in PARTITIVES:
            return _head(words[place + 1 :])
        if word == "," and (head is None or head in ADJECTIVES):
            continue
        if head is None and word in SKIPPED:
            continue
        if word == "," or word in ENDS or word in ARTICLES:
            break
        if head is not None and _is_participle(word, after):
            break
        if word in SKIPPED or word[0].isdigit() or word.endswith(("'s", "'")):
            continue
        if word.endswith("ly") and word not in NOUNS_IN_LY:
            continue
        head = singular(word)
    return head


def _is_participle(word: str, after: str) -> bool:
    """Return True for a participle after its noun: "factors linked to", "a man riding a horse"."""
    if word.endswith("ing"):
        return after in ARTICLES
    return word.endswith("ed") and not word.endswith("eed") and (not after or after in ENDS)


def singular(noun: str) -> str:
    """Return a regular plural without its ending, and any other word unchanged."""
    if noun in UNCHANGED or len(noun) < 4 or noun.endswith(("ss", "us", "is")):
        return noun
    if noun.endswith("ies") and noun[:-1] not in NOUNS_IN_IE:
        return f"{noun[:-3]}y"
    if noun.endswith(("sses", "shes", "ches", "xes")):
        return noun[:-2]
    return noun.removesuffix("s")
