"""Parse a judge's reply: a score, or which of two texts is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from eval.rubrics.rubric import Criterion


@dataclass(frozen=True, slots=True)
class ParsedScore:
    """A score found in a reply."""

    value: float
    position: int
    """Index of its first digit in the reply."""
    is_strict: bool
    """True if the reply is the filled-in form and nothing else."""


class Preference(Enum):
    """The preferred one of two texts, in the order in which they were shown."""

    first = "first"
    second = "second"
    tie = "tie"


NUMBER = r"(?<![\d.])(?P<score>\d+(?:\.\d+)?)(?![\d.]*\d)"
"""An integer or decimal that is not a part of a longer number or of a version such as 1.2.3."""
SCALE = re.compile(
    r"\d+점?\s*(?:-|–|~|to|에서|부터)\s*\d+(?:점?까지)?|(?:/|out of)\s*\d+|\d+점?\s*만점에?",
    re.IGNORECASE,
)
"""A mention of the scale, such as 1-5, /5, out of 5, 5점 만점."""
SCALE_REACH = len(" out of 10")
"""Characters after a score in which its scale may be mentioned."""
NAMED = r"(?:score|rating|grade|점수|평점)(?:\s*(?:is|of)|는|은|를|을)?"
"""Words that introduce a score."""
CLAUSE_END = re.compile(r"점?(?:입니다|이다)?\s*(?:[*.,;:!)\]\"]|$)", re.MULTILINE)
"""End of a clause right after a number: "It deserves 4." but not "It has 4 sentences"."""
LISTED = re.compile(r"\s*[(\[]?1[.)\]]\s+\S.*^\s*[(\[]?2[.)\]]\s", re.DOTALL | re.MULTILINE)
"""A reply that opens with a numbered list: its 1 is not a score."""


def parse_score(text: str, criterion: Criterion) -> ParsedScore | None:
    """Return the score in a reply, or None if there is none or the reply is ambiguous.

    Mentions of the scale are ignored. The first of these rules that matches decides:

    1. the reply begins with a number, optionally after the criterion's label, as the form asks;
    2. a number follows the criterion's label, or a word such as "score";
    3. the reply contains exactly one number, and it ends a clause.

    A number outside the scale, or given on another scale (4/10), is not a score.
    """
    label = re.escape(criterion.label)
    # Blanked out rather than removed, so that positions stay those of the reply.
    bare = SCALE.sub(lambda match: " " * len(match[0]), text)
    begin = re.match(rf"[\s\-*•]*(?:{label}[\s*]*[:：])?[\s*]*{NUMBER}", bare, re.IGNORECASE)
    if begin is not None and not LISTED.match(text):
        is_alone = re.fullmatch(r"[\s*.]*점?[\s*.]*", text[begin.end() :]) is not None
        is_unblanked = bare[: begin.end()] == text[: begin.end()]
        return _score(begin, text, criterion, is_strict=is_alone and is_unblanked)
    for name in (label, NAMED):
        named = re.search(rf"{name}\W{{0,12}}{NUMBER}", bare, re.IGNORECASE)
        if named is not None:
            return _score(named, text, criterion)
    numbers = list(re.finditer(NUMBER, bare))
    if len(numbers) != 1 or not CLAUSE_END.match(bare, numbers[0].end()):
        return None
    return _score(numbers[0], text, criterion)


def _score(
    match: re.Match[str], text: str, criterion: Criterion, is_strict: bool = False
) -> ParsedScore | None:
    value = float(match["score"])
    # A scale is named before its score ("on a scale of 1-10, 4") or right after it ("4 out of 10").
    mentioned = SCALE.findall(text[: match.end() + SCALE_REACH])
    if any(int(re.findall(r"\d+", scale)[-1]) != criterion.high for scale in mentioned):
        return None
    if not criterion.low <= value <= criterion.high:
        return None
    return ParsedScore(value, match.start("score"), is_strict)


TIE = re.compile(r"\b(?:tie|tied|draw|neither|equal(?:ly)?|both)\b|무승부|비슷|동점", re.IGNORECASE)
CHOICE = re.compile(r"(?<![\d.])(?<!than )(?<!over )([12])(?![\d.]*\d)")
"""1 or 2 as a choice; "better than 2" names the text that loses."""


def parse_preference(text: str) -> Preference | None:
    """Return the preferred text, or None if the reply names none or both.

    A number at the start of the reply decides, whatever follows; otherwise the reply must name
    exactly one of the two, or a tie.
    """
    begin = re.match(r"[\s\W]*([12])(?!\d)", text)
    if begin is not None and not LISTED.match(text):
        return Preference.first if begin[1] == "1" else Preference.second
    chosen = set(CHOICE.findall(text))
    if TIE.search(text):
        return Preference.tie if len(chosen) != 1 else None
    if len(chosen) != 1:
        return None
    return Preference.first if chosen == {"1"} else Preference.second
