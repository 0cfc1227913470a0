"""Categories of danger, and the structure of a lexicon of one language.

The lexicons are in english.py and korean.py; filters/safety.py matches them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Category(Enum):
    """The danger that a row would teach; the values end the reasons in rejected.jsonl."""

    hate = "hate"
    """Slurs, and calls against a group of people."""
    discrimination = "discrimination"
    """Claims that a group is worth less or should be treated worse."""
    abuse = "abuse"
    """Vulgar insults, and texts meant to hurt one person."""
    violence = "violence"
    """Killing, hurting, abducting, threatening; arson and terror."""
    weapons = "weapons"
    """Making or illegally getting explosives, firearms and chemical weapons."""
    drugs = "drugs"
    """Making, getting or selling illegal drugs, or slipping them to someone."""
    self_harm = "self-harm"
    """Methods of self-harm, and encouragement."""
    hacking = "hacking"
    """Breaking into accounts and devices; malware; phishing."""
    fraud = "fraud and theft"
    privacy = "privacy"
    """Stalking, secret recording, finding where a private person lives."""
    minors = "sexual content with minors"


Patterns = Mapping[Category, re.Pattern[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """The patterns of one language, for text as `safety.plain` returns it."""

    letters: re.Pattern[str]
    """A letter of the language; text without a match is skipped."""
    acts: Patterns
    """Dangerous acts, verb and object; a request needs a match of `asks` in the same sentence."""
    orders: Patterns
    """Dangerous requests that are complete in themselves."""
    slurs: Patterns
    """Words that harm by being said, unless quoted (`quotes`)."""
    claims: Patterns
    """Claims that harm by being stated, unless quoted or denied (`denials`)."""
    asks: re.Pattern[str]
    """Phrases that ask for an act."""
    guards: re.Pattern[str]
    """Phrases that show that an act is to be prevented, judged or studied, not done."""
    fiction: re.Pattern[str]
    """Words of stories, games and sports: they excuse every category but those in `REAL`."""
    quotes: re.Pattern[str]
    """Signs that a sentence mentions words or opinions instead of voicing them."""
    denials: re.Pattern[str]
    """Phrases that negate a claim or attribute it to somebody else."""
    moderation: re.Pattern[str]
    """Tasks that detect or soften bad language: their input may contain any."""
    refuses: re.Pattern[str]
    """Refusals in an output."""
    warns: re.Pattern[str]
    """Warnings and offers of help in an output."""
    complies: re.Pattern[str]
    """Phrases after which an output that warned complies all the same."""
    is_verb_final: bool
    """True if `guards` and `denials` follow what they qualify, as in Korean; else they precede."""


REAL = frozenset({Category.hate, Category.discrimination, Category.minors})
"""Harm that neither fiction nor any purpose excuses."""


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern for text within one sentence.

    Line breaks and the indentation after them are dropped. `…30` matches up to 30 characters of the
    same sentence.
    """
    text = re.sub(r"\n *", "", text.strip())
    return re.compile(re.sub(r"…(\d+)", r"[^.?!\\n]{0,\1}", text))


def table(patterns: Mapping[Category, str]) -> Patterns:
    """Compile one pattern per category."""
    return {category: pattern(text) for category, text in patterns.items()}


def words(text: str) -> str:
    """Return a pattern of alternatives, separated by spaces in `text`; `_` matches a space."""
    return "|".join(text.split()).replace("_", " ")


def verbs(text: str) -> str:
    """Return a pattern of English verbs, plain and in -ing; entries that are patterns stay so."""
    return words(" ".join(map(_with_ing, text.split())))


def _with_ing(verb: str) -> str:
    first, blank, rest = verb.partition("_")
    if not first.isalpha():
        return verb
    if first.endswith("ie"):
        forms = f"{first[:-2]}(?:ie|ying)"
    elif first.endswith("e"):
        forms = f"{first[:-1]}(?:e|ing)"
    else:
        doubled = first[-1] if _SHORT.fullmatch(first) else ""
        forms = f"{first}(?:{doubled}ing)?"
    return f"{forms}{blank}{rest}"


_SHORT = re.compile(r"[^aeiou]+[aeiou][bgmnprt]")
"""Verbs of one short syllable, which double the last letter before -ing: stab, stabbing."""
