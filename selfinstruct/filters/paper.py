"""The filters of Self-Instruct and Alpaca, exactly as their releases have them.

Sources: yizhongw/self-instruct (bootstrap_instructions.py, prepare_for_finetuning.py) and
tatsu-lab/stanford_alpaca (generate_instruction.py), both of 2023. Their defects are kept:
`starts_with_non_ascii` rejects every instruction in Korean.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence

from selfinstruct.candidates.candidate import Candidate

SELF_INSTRUCT_KEYWORDS = (
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
ALPACA_KEYWORDS = (*SELF_INSTRUCT_KEYWORDS, "video", "audio", "music", "flowchart", "diagram")


def has_keyword(keywords: Sequence[str]) -> Callable[[Candidate], str | None]:
    """Return a filter that rejects instructions with one of these words, in any case."""
    pattern = re.compile(rf"\b(?:{'|'.join(keywords)})\b", re.IGNORECASE)

    def needs_more_than_text(candidate: Candidate) -> str | None:
        return "needs more than text" if pattern.search(candidate.instruction) else None

    return needs_more_than_text


def asks_for_program(candidate: Candidate) -> str | None:
    """Reject "Write a program": unclear whether code or its result is wanted, and too frequent."""
    is_program = candidate.instruction.startswith("Write a program")
    return "asks for a program" if is_program else None


def starts_with_ascii_punctuation(candidate: Candidate) -> str | None:
    """Reject an instruction whose first character is in `string.punctuation`."""
    # A tuple: an empty instruction is not in it, while "" is in every string.
    is_mark = candidate.instruction[:1] in tuple(string.punctuation)
    return "starts with punctuation" if is_mark else None


def starts_with_non_ascii(candidate: Candidate) -> str | None:
    """Reject an instruction whose first character is not ASCII."""
    return None if candidate.instruction[:1].isascii() else "starts with a non-ASCII character"


def output_equals_input(candidate: Candidate) -> str | None:
    """Reject equal input and output; two empty ones are equal too."""
    return "output equals input" if candidate.input == candidate.output else None


def no_output(candidate: Candidate) -> str | None:
    """Reject an empty output."""
    return None if candidate.output else "empty output"


def ends_with_colon(candidate: Candidate) -> str | None:
    """Reject an input or output that ends with a colon: most of them are incomplete."""
    ends = candidate.output.strip().endswith(":") or candidate.input.strip().endswith(":")
    return "input or output ends with a colon" if ends else None
