"""Text that is no text: loops, broken encodings, marks of the prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache

from selfinstruct.config import FilterConfig
from selfinstruct.parse import Candidate
from selfinstruct.requests.wording import WORDINGS

WORD = re.compile(r"\w+")

LEAK = re.compile(
    r"^[ \t]*#{3,}[ \t]*$|<\|[^|\n]*\|>|</?s>|\[/?INST\]|(?i:< ?no ?(?:in|out)put ?>)"
    r"|^[ *\d.]*(?:#{2,}[ *\d.]*)?(?:Instruction|Input|Output|Response|지시|입력|출력|응답)[ *]*:"
    r"|\}\s*,\s*\{\s*\Z",
    re.MULTILINE,
)
"""Marks of prompts inside a task: separators, labels at the beginning of a line, special tokens,
and what stands between two tasks in JSON."""

PARROTED_WORDS = 8
"""In a row of what the teacher was told: it tells it again instead of writing a task."""

MOJIBAKE = re.compile("[ÂÃâìíëêãä][\x80-¿€™œŒ“”•–—˜šŠžŽŸƒ„†‡ˆ‰‹›]|�")
"""UTF-8 read as Latin-1 or Windows-1252, and what could not be decoded at all."""
JAMO = re.compile("[ㄱ-ㅎㅏ-ㅣ]{4,}")
"""Single Korean letters, as of a hand on the keys; ㅋㅋㅋㅋ and ㅠㅠㅠㅠ are laughter and tears."""
RUN = re.compile(r"([^\W\d_])\1{11}|[A-Za-z]{60}|[가-힣]{40}")
"""One letter twelve times, or a word longer than any: the longest Korean one found in 276 articles
of an encyclopedia has 25 syllables."""

NGRAM = 4
DEGENERATE_WORDS = 16
DISTINCT_SHARE = 0.5
"""Of 4-grams in a text of 16 words or more. Songs with a refrain have 0.57 or more, tables 0.5."""


def leak(candidate: Candidate, config: FilterConfig) -> str | None:
    """Two tasks run into one, or the prompt itself was repeated."""
    is_leak = any(
        LEAK.search(text) or not _told().isdisjoint(_runs(text)) for text in _parts(candidate)
    )
    return "marks of the prompt inside" if is_leak else None


@cache
def _told() -> frozenset[tuple[str, ...]]:
    """All runs of words in what teachers are told, in any language."""
    texts = (text for words in WORDINGS.values() for text in asdict(words).values())
    return frozenset(run for text in texts for run in _runs(text))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = WORD.findall(text.casefold())
    return (tuple(words[at : at + PARROTED_WORDS]) for at in range(len(words) - PARROTED_WORDS + 1))


def garbled(candidate: Candidate, config: FilterConfig) -> str | None:
    """Characters that nobody writes."""
    is_broken = any(
        MOJIBAKE.search(text) or RUN.search(text) or any(map(_is_stray, text))
        for text in _parts(candidate)
    )
    asked = JAMO.search(f"{candidate.instruction}{candidate.input}")
    mashed = not asked and any(len(set(run)) > 2 for run in JAMO.findall(candidate.output))
    return "garbled text" if is_broken or mashed else None


def degenerate(candidate: Candidate, config: FilterConfig) -> str | None:
    """Small models fall into loops."""
    return "repeats itself" if any(map(_is_loop, _parts(candidate))) else None


def _parts(candidate: Candidate) -> tuple[str, str, str]:
    return (candidate.instruction, candidate.input, candidate.output)


def _is_stray(character: str) -> bool:
    """Controls, and code points that have no meaning of their own."""
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Co", "Cn", "Cs")


def _is_loop(text: str) -> bool:
    words = text.casefold().split()
    if len(words) < DEGENERATE_WORDS:
        return False
    grams = [tuple(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)]
    return len(set(grams)) < DISTINCT_SHARE * len(grams)
