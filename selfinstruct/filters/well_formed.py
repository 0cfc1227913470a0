"""Basic form: length, the first character, and an output that says something."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from selfinstruct.candidates.candidate import Candidate

OPENING_MARKS = "\"'“‘«¿¡「『《〈("
"""Punctuation that a sentence may start with."""

KOREAN_WORD = 1.5
"""English words per Korean word, which includes particles and endings. Instructions of the shipped
seeds average 28.7 words in English and 17.8 in Korean (a ratio of 1.6)."""


def length_between(
    min_words: int, max_words: int, lang: str = "en"
) -> Callable[[Candidate], str | None]:
    """Return a filter of the instruction's length.

    Too short says too little to act on; too long is a runaway reply. The limits count English
    words: a Korean word counts as `KOREAN_WORD` of them.
    """
    weight = KOREAN_WORD if lang == "ko" else 1

    def wrong_length(candidate: Candidate) -> str | None:
        words = weight * len(candidate.instruction.split())
        if words < min_words:
            return "instruction too short"
        return "instruction too long" if words > max_words else None

    return wrong_length


def starts_with_punctuation(candidate: Candidate) -> str | None:
    """Reject an instruction that starts with a punctuation mark: it is a fragment."""
    first = candidate.instruction[:1]
    is_mark = first and unicodedata.category(first)[0] in "PS" and first not in OPENING_MARKS
    return "starts with punctuation" if is_mark else None


def empty_output(candidate: Candidate) -> str | None:
    """Reject an output without letters, digits or symbols; an emoji can be an answer."""
    has_content = any(unicodedata.category(character)[0] in "LNS" for character in candidate.output)
    return None if has_content else "empty output"


def copied_output(candidate: Candidate) -> str | None:
    """Reject an output that repeats the input or the instruction."""
    output = candidate.output.split()
    if output == candidate.input.split():
        return "output equals input"
    return "output equals instruction" if output == candidate.instruction.split() else None
