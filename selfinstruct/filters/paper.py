"""The filters of Self-Instruct and of Alpaca, as their releases have them.

Sources: yizhongw/self-instruct (bootstrap_instructions.py, prepare_for_finetuning.py) and
tatsu-lab/stanford_alpaca (generate_instruction.py), both of 2023. They are what was published, with
its gaps: `non_ascii` drops every instruction in Korean.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence

from selfinstruct.config import FilterConfig
from selfinstruct.parse import Candidate

SELF_INSTRUCT_WORDS = (
    "image",
    "images",
    "graph",
    "graphs",
    "picture",
    "pictures",
    "file",
    "files",
    "map",
    "maps",
    "draw",
    "plot",
    "go to",
)
ALPACA_WORDS = (*SELF_INSTRUCT_WORDS, "video", "audio", "music", "flowchart", "diagram")


def keyword(words: Sequence[str]) -> Callable[[Candidate, FilterConfig], str | None]:
    """A filter that drops instructions with one of these words, whole and in any case."""
    pattern = re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)

    def needs_more_than_text(candidate: Candidate, config: FilterConfig) -> str | None:
        return "needs more than text" if pattern.search(candidate.instruction) else None

    return needs_more_than_text


def program(candidate: Candidate, config: FilterConfig) -> str | None:
    """Whether a program is wanted or its result is not clear, and there were too many of them."""
    is_program = candidate.instruction.startswith("Write a program")
    return "asks for a program" if is_program else None


def ascii_punctuation(candidate: Candidate, config: FilterConfig) -> str | None:
    """The first character is one of string.punctuation."""
    is_mark = candidate.instruction[:1] in tuple(string.punctuation)
    return "starts with punctuation" if is_mark else None


def non_ascii(candidate: Candidate, config: FilterConfig) -> str | None:
    """The first character is not ASCII."""
    return None if candidate.instruction[:1].isascii() else "starts with a non-ASCII character"


def same_as_input(candidate: Candidate, config: FilterConfig) -> str | None:
    """Input and output are equal, both empty among them."""
    return "output equals input" if candidate.input == candidate.output else None


def no_output(candidate: Candidate, config: FilterConfig) -> str | None:
    """There is no output at all."""
    return None if candidate.output else "empty output"


def colon(candidate: Candidate, config: FilterConfig) -> str | None:
    """Input or output ends with a colon, and so is mostly incomplete."""
    ends = candidate.output.strip().endswith(":") or candidate.input.strip().endswith(":")
    return "input or output ends with a colon" if ends else None
