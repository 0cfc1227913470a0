"""What a judge's reply says: a score, or which of two texts is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from eval.rubrics.rubric import Criterion


@dataclass(frozen=True, slots=True)
class Score:
    """A score found in a reply."""

    value: float
    at: int
    """Place of its first digit in the reply."""
    is_strict: bool
    """Whether the reply is the filled-in form and nothing else."""


class Preference(Enum):
    """Which of two texts a reply prefers, in the order in which they were shown."""

    first = "first"
    second = "second"
    tie = "tie"


NUMBER = r"(?<![\d.])(?P<score>\d+(?:\.\d+)?)(?![\d.]*\d)"
SCALE = re.compile(
    r"\d+점?\s*(?:-|–|~|to|에서|부터)\s*\d+(?:점?까지)?|(?:/|out of)\s*\d+|\d+점?\s*만점에?",
    re.IGNORECASE,
)
"""A mention of the scale, such as 1-5, /5, out of 5, 5점 만점."""
SCALE_REACH = len(" out of 10")
NAMED = r"(?:score|rating|grade|점수|평점)(?:\s*(?:is|of)|는|은|를|을)?"
CLAUSE_END = re.compile(r"점?(?:입니다|이다)?\s*(?:[*.,;:!)\]\"]|$)", re.MULTILINE)
LISTED = re.compile(r"\s*[(\[]?1[.)\]]\s+\S.*^\s*[(\[]?2[.)\]]\s", re.DOTALL | re.MULTILINE)
"""A numbered list: its 1 is no score."""


def parse_score(text: str, criterion: Criterion) -> Score | None:
    """The score in a reply; None where there is none, or more than one that could be meant.

    Mentions of the scale are passed over. Then a number counts that the reply begins with, as the
    form asks; else one after the criterion's label, or after a word such as score; else the only
    number, if it ends a clause. A number outside of the scale, or on another one, is no score.
    """
    label = re.escape(criterion.label)
    # Blanked out, so that places stay what they are.
    bare = SCALE.sub(lambda found: " " * len(found[0]), text)
    begin = re.match(rf"[\s\-*•]*(?:{label}[\s*]*[:：])?[\s*]*{NUMBER}", bare, re.IGNORECASE)
    if begin is not None and not LISTED.match(text):
        is_alone = re.fullmatch(r"[\s*.]*점?[\s*.]*", text[begin.end() :]) is not None
        is_whole = bare[: begin.end()] == text[: begin.end()]
        return _score(begin, text, criterion, is_strict=is_alone and is_whole)
    for name in (label, NAMED):
        named = re.search(rf"{name}\W{{0,12}}{NUMBER}", bare, re.IGNORECASE)
        if named is not None:
            return _score(named, text, criterion)
    numbers = list(re.finditer(NUMBER, bare))
    if len(numbers) != 1 or not CLAUSE_END.match(bare, numbers[0].end()):
        return None
    return _score(numbers[0], text, criterion)


def _score(
    found: re.Match[str], text: str, criterion: Criterion, is_strict: bool = False
) -> Score | None:
    value = float(found["score"])
    # What scale it is on is said before it or right after it.
    mentioned = SCALE.findall(text[: found.end() + SCALE_REACH])
    if any(int(re.findall(r"\d+", scale)[-1]) != criterion.high for scale in mentioned):
        return None
    if not criterion.low <= value <= criterion.high:
        return None
    return Score(value, found.start("score"), is_strict)


TIE = re.compile(r"\b(?:tie|tied|draw|neither|equal(?:ly)?|both)\b|무승부|비슷|동점", re.IGNORECASE)
CHOICE = re.compile(r"(?<![\d.])(?<!than )(?<!over )([12])(?![\d.]*\d)")


def parse_preference(text: str) -> Preference | None:
    """Which text a reply prefers; None where it does not say, or says both.

    A number that the reply begins with counts, whatever follows; else the only one in it.
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
