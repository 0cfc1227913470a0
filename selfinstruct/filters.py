"""From a candidate to a verdict: what a generated task must be to enter the pool.

Each filter is a pure function that names what is wrong, or returns None. The cheap ones come first,
novelty last.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from selfinstruct import habits
from selfinstruct.config import FilterConfig
from selfinstruct.novelty import Neighbour, NoveltyIndex, tokenize
from selfinstruct.parse import Candidate

Filter = Callable[[Candidate, FilterConfig], str | None]

BEYOND_TEXT = re.compile(
    r"\b(images?|pictures?|photos?|graphs?|maps?|files?|plot|draw|go to|videos?|audio|music"
    r"|flowcharts?|diagrams?|screenshots?|urls?)\b",
    re.IGNORECASE,
)
"""What a model of text alone cannot make or look at (the lists of both papers, and some more)."""

LEAK = re.compile(
    r"^\s*#{3,}\s*$|^[\s#*\d.]*(Instruction|Input|Output|Response)[\s*]*:|<\|[^|\n]*\|>",
    re.MULTILINE,
)
"""Marks of prompts inside a task: separators, labels at the beginning of a line, special tokens."""

MISSING = re.compile(
    r"\b(this|the (following|given|above|below|provided)|these( \w+)?) "
    r"(sentences?|texts?|paragraphs?|passages?|articles?|poems?|stor(y|ies)|emails?|reviews?|words?"
    r"|phrases?|codes?|lists?|tables?|questions?|statements?|quotes?|numbers?|plot|input)\b",
    re.IGNORECASE,
)
"""An instruction that points to an input."""

OPENING_MARKS = "\"'“‘«¿¡「『("
"""Punctuation that a sentence may begin with."""

NGRAM = 4
DEGENERATE_WORDS = 16
DISTINCT_SHARE = 0.7
"""Of 4-grams in a text of 16 words or more; hand-written verse with a refrain has 0.76."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate enters the pool."""

    reason: str | None
    """Why not; None: it does."""
    nearest: Neighbour | None = None
    """The closest instruction of the pool; None where the candidate did not come so far."""


def malformed(candidate: Candidate, config: FilterConfig) -> str | None:
    """What the parser found."""
    return candidate.defect


def length(candidate: Candidate, config: FilterConfig) -> str | None:
    """Instructions of a few words say too little; very long ones are runaways."""
    words = len(candidate.instruction.split())
    if words < config.min_words:
        return "instruction too short"
    return "instruction too long" if words > config.max_words else None


def beyond_text(candidate: Candidate, config: FilterConfig) -> str | None:
    """Tasks about what is not there to see or cannot be written."""
    return "needs more than text" if BEYOND_TEXT.search(candidate.instruction) else None


def missing_input(candidate: Candidate, config: FilterConfig) -> str | None:
    """It points to an input that is neither there nor in the instruction itself."""
    carries = candidate.input or any(mark in candidate.instruction for mark in ':\n"“‘«「')
    points = MISSING.search(candidate.instruction)
    return "input is missing" if points and not carries else None


def punctuation(candidate: Candidate, config: FilterConfig) -> str | None:
    """An instruction that begins with a mark is a fragment."""
    first = candidate.instruction[0]
    is_mark = unicodedata.category(first)[0] in "PS" and first not in OPENING_MARKS
    return "starts with punctuation" if is_mark else None


def leak(candidate: Candidate, config: FilterConfig) -> str | None:
    """Two tasks run into one, or the prompt itself was repeated."""
    parts = (candidate.instruction, candidate.input, candidate.output)
    return "marks of the prompt inside" if any(map(LEAK.search, parts)) else None


def empty_output(candidate: Candidate, config: FilterConfig) -> str | None:
    """Nothing, or marks alone."""
    return None if tokenize(candidate.output) else "empty output"


def copied_output(candidate: Candidate, config: FilterConfig) -> str | None:
    """The output says again what was given."""
    output = candidate.output.split()
    if output == candidate.input.split():
        return "output equals input"
    return "output equals instruction" if output == candidate.instruction.split() else None


def unfinished_output(candidate: Candidate, config: FilterConfig) -> str | None:
    """A colon announces what then is not there (Self-Instruct)."""
    return "output ends with a colon" if candidate.output.endswith(":") else None


def degenerate(candidate: Candidate, config: FilterConfig) -> str | None:
    """Small models fall into loops."""
    loops = any(map(_is_loop, (candidate.instruction, candidate.input, candidate.output)))
    return "repeats itself" if loops else None


def _is_loop(text: str) -> bool:
    words = text.casefold().split()
    if len(words) < DEGENERATE_WORDS:
        return False
    grams = [tuple(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)]
    return len(set(grams)) < DISTINCT_SHARE * len(grams)


FILTERS: tuple[Filter, ...] = (
    malformed,
    length,
    punctuation,
    leak,
    beyond_text,
    missing_input,
    empty_output,
    copied_output,
    unfinished_output,
    degenerate,
    habits.refusal,
    habits.question,
    habits.other_language,
)
"""In the order in which they are asked; the first that objects gives the reason."""


def judge(candidate: Candidate, config: FilterConfig, pool: NoveltyIndex) -> Verdict:
    """Ask every filter, then whether the instruction is new."""
    for objection in FILTERS:
        reason = objection(candidate, config)
        if reason is not None:
            return Verdict(reason)
    nearest = pool.nearest(candidate.instruction)
    if nearest is not None and nearest.score > config.max_similarity:
        return Verdict("too similar", nearest)
    return Verdict(None, nearest)
