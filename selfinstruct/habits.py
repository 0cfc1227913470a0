"""What chat models do instead of the task: refuse, ask back, answer in another language.

Filters like those in filters.py. They know English; a text in another language passes.
"""

from __future__ import annotations

import re

from selfinstruct.config import FilterConfig
from selfinstruct.novelty import tokenize
from selfinstruct.parse import Candidate

REFUSAL = re.compile(
    r"\bas an? (ai|language model|chat ?bot|text-based|digital assistant|helpful assistant)\b"
    r"|\bi('m| am) (unable|not able|not capable|not equipped|not familiar with)\b"
    r"|\bi('m| am) sorry for (the|any|your)\b|^\W*(no, )?i('m| am) (afraid|sorry, but)\b"
    r"|\bi (do not|don't) have (the (ability|capability)|access|personal)\b"
    r"|\bi (can't|cannot) (help|assist|provide|answer|do (that|this))\b",
    re.IGNORECASE,
)

QUESTION = re.compile(
    r"(^|[.!?\n]\s*)((how|what) (can|may) i|(do|are|could|can|would) you|is there anything"
    r"|what (kind|type|sort)|what('s| is| are|'re| do| would| brings)( on)? you)[^.!?\n]*\?\s*$",
    re.IGNORECASE,
)
"""A last sentence that asks the user something."""
QUESTION_WORDS = 60
"""A longer output that ends so has answered before."""

ROMANCE = re.compile(
    r"\b(à|com|con|de|del|des|el|en|est|et|las?|les?|los|não|para|por|que|un|una)\b", re.IGNORECASE
)
"""Small words of the languages that small models slip into."""
ROMANCE_SHARE = 0.15
ROMANCE_WORDS = 6
ABOUT_LANGUAGE = re.compile(
    r"translat|language|french|spanish|portuguese|italian|catalan", re.IGNORECASE
)


def refusal(candidate: Candidate, config: FilterConfig) -> str | None:
    """The model says that it will not, or cannot."""
    output = candidate.output.replace("’", "'")
    return "output refuses" if REFUSAL.search(output) else None


def question(candidate: Candidate, config: FilterConfig) -> str | None:
    """The model asks back, unless a question is what it was to write."""
    output = candidate.output.replace("’", "'")
    wanted = "question" in candidate.instruction.casefold()
    if wanted or len(output.split()) > QUESTION_WORDS:
        return None
    return "output asks back" if QUESTION.search(output) else None


def other_language(candidate: Candidate, config: FilterConfig) -> str | None:
    """The model answers in Spanish or the like where nobody asked for it."""
    asked = f"{candidate.instruction} {candidate.input}"
    words, foreign = len(tokenize(candidate.output)), len(ROMANCE.findall(candidate.output))
    if words < ROMANCE_WORDS or foreign < ROMANCE_SHARE * words:
        return None
    wanted = ABOUT_LANGUAGE.search(asked) or ROMANCE.search(asked)
    return None if wanted else "output in another language"
