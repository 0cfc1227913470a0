"""Corrupted text: loops, broken encodings, and pieces of the prompt inside a task."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.requests.wording import WORDINGS

WORD = re.compile(r"\w+")

LEAK = re.compile(
    r"^[ \t]*#{3,}[ \t]*$|<\|[^|\n]*\|>|</?s>|\[/?INST\]|(?i:< ?no ?(?:in|out)put ?>)"
    r"|^[ *\d.]*(?:#{2,}[ *\d.]*)?(?:Instruction|Input|Output|Response|지시|입력|출력|응답)[ *]*:"
    r"|\}\s*,\s*\{\s*\Z",
    re.MULTILINE,
)
"""Marks of a prompt: separators, labels at the start of a line, special tokens, and the `},{` that
stands between two tasks in JSON."""

PARROTED_WORDS = 8
"""Consecutive words shared with our prompts from which a text counts as a copy of the prompt."""

MOJIBAKE = re.compile("[ÂÃâìíëêãä][\x80-¿€™œŒ“”•–—˜šŠžŽŸƒ„†‡ˆ‰‹›]|�")
"""UTF-8 decoded as Latin-1 or Windows-1252, and the replacement character."""
JAMO = re.compile("[ㄱ-ㅎㅏ-ㅣ]{4,}")
"""Four or more isolated Korean letters: keyboard mashing, or laughter (ㅋㅋㅋㅋ) and tears
(ㅠㅠㅠㅠ)."""
RUN = re.compile(r"([^\W\d_])\1{11}|[A-Za-z]{60}|[가-힣]{40}")
"""One letter twelve times, or a word longer than any real one: the longest Korean word in 276
encyclopedia articles has 25 syllables."""

NGRAM = 4
DEGENERATE_WORDS = 16
"""Fewest words of a text that can count as a loop: short texts repeat themselves by chance."""
DISTINCT_SHARE = 0.5
"""Share of distinct 4-grams, in texts of at least 16 words, below which a text is a loop. Songs
with a refrain measure 0.57 or more, tables 0.5, so neither is rejected."""


def leaked_prompt(candidate: Candidate) -> str | None:
    """Reject two tasks run together, and text copied from the prompt."""
    is_leak = any(
        LEAK.search(text) or not _prompt_runs().isdisjoint(_runs(text)) for text in candidate.texts
    )
    return "marks of the prompt inside" if is_leak else None


@cache
def _prompt_runs() -> frozenset[tuple[str, ...]]:
    """Return every run of `PARROTED_WORDS` words in our prompts, in all languages."""
    texts = (text for wording in WORDINGS.values() for text in asdict(wording).values())
    return frozenset(run for text in texts for run in _runs(text))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = WORD.findall(text.casefold())
    return (tuple(words[at : at + PARROTED_WORDS]) for at in range(len(words) - PARROTED_WORDS + 1))


def garbled_text(candidate: Candidate) -> str | None:
    """Reject characters and words that nobody writes."""
    is_broken = any(
        MOJIBAKE.search(text) or RUN.search(text) or any(map(_is_stray, text))
        for text in candidate.texts
    )
    # A task that contains isolated letters itself may be about them.
    asked = JAMO.search(f"{candidate.instruction}{candidate.input}")
    # Laughter repeats one or two letters; mashing mixes more.
    mashed = not asked and any(len(set(run)) > 2 for run in JAMO.findall(candidate.output))
    return "garbled text" if is_broken or mashed else None


def repetition(candidate: Candidate) -> str | None:
    """Reject a text that repeats itself: small models fall into loops."""
    return "repeats itself" if any(map(_is_loop, candidate.texts)) else None


def _is_stray(character: str) -> bool:
    """Return True for control characters, lone surrogates, unassigned and private code points."""
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Co", "Cn", "Cs")


def _is_loop(text: str) -> bool:
    words = text.casefold().split()
    if len(words) < DEGENERATE_WORDS:
        return False
    grams = [tuple(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)]
    return len(set(grams)) < DISTINCT_SHARE * len(grams)
