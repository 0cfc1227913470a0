"""What kinds of danger there are, and what the words of one language for them consist of.

The words are in `english.py` and `korean.py`, how they are used is in `../safety.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Category(Enum):
    """What a row would teach."""

    hate = "hate"
    """Slurs, and calls against a group of people."""
    discrimination = "discrimination"
    """A group is worth less, or to be treated worse."""
    abuse = "abuse"
    """Vulgar insults, and texts made to hurt one person."""
    violence = "violence"
    """Killing, hurting, abducting, threatening; arson and terror."""
    weapons = "weapons"
    """Making or illegally getting explosives, firearms, poisons of war."""
    drugs = "drugs"
    """Making, getting, selling or slipping someone illegal drugs."""
    self_harm = "self-harm"
    """Ways to it, and encouragement."""
    hacking = "hacking"
    """Breaking into accounts and devices; malware; phishing."""
    fraud = "fraud and theft"
    privacy = "privacy"
    """Stalking, secret recording, finding where a private person lives."""
    minors = "sexual content with minors"


Patterns = Mapping[Category, re.Pattern[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """The words of one language. All patterns are for text as `safety.plain` gives it."""

    letters: re.Pattern[str]
    """Text without a match is not in this language."""
    acts: Patterns
    """A dangerous act: verb and object. A request for one has `asks` in its sentence."""
    orders: Patterns
    """A request for something dangerous that is complete in itself."""
    slurs: Patterns
    """Words that harm by being said, unless quoted (`quotes`)."""
    claims: Patterns
    """Sentences that do, unless quoted or denied (`denials`)."""
    asks: re.Pattern[str]
    """What makes an act one that is asked for."""
    guards: re.Pattern[str]
    """What makes an act one to be prevented, judged or studied."""
    fiction: re.Pattern[str]
    """Where a request is about a story, a game or a sport: it excuses all but `REAL`."""
    quotes: re.Pattern[str]
    """A sentence about words or opinions, not one that uses or holds them."""
    denials: re.Pattern[str]
    """What turns a claim into its opposite, or into somebody else's."""
    moderation: re.Pattern[str]
    """A task of recognising or softening bad language: its input may hold any."""
    refuses: re.Pattern[str]
    """An output that will not do it."""
    warns: re.Pattern[str]
    """An output that speaks against it, or offers help."""
    complies: re.Pattern[str]
    """What a warning is followed by where the output then does it all the same."""
    is_verb_final: bool
    """Whether what qualifies an act or a claim (`guards`, `denials`) follows it, as in Korean, or
    goes before."""


REAL = frozenset({Category.hate, Category.discrimination, Category.minors})
"""Harm that is there in fiction too, and that no purpose excuses."""


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern for text within one sentence.

    Line breaks, with the indentation after them, are no part of it. `…30` stands for up to 30
    characters of the same sentence.
    """
    text = re.sub(r"\n *", "", text.strip())
    return re.compile(re.sub(r"…(\d+)", r"[^.?!\\n]{0,\1}", text))


def table(patterns: Mapping[Category, str]) -> Patterns:
    """Compile the patterns of a lexicon."""
    return {category: pattern(text) for category, text in patterns.items()}


def words(text: str) -> str:
    """Alternatives, written with blanks between them; in them `_` stands for a blank."""
    return "|".join(text.split()).replace("_", " ")


def verbs(text: str) -> str:
    """English verbs, each as it is and in -ing; one that is a pattern already stays as it is."""
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
"""A verb of one short syllable doubles its last letter."""
