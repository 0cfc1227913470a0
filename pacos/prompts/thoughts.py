"""Thoughts of the assistant: where they end in the text of an answer."""

from __future__ import annotations

import re

from pacos.data.example import RowError, Turn

OPEN, CLOSE = "<think>", "</think>"

_LEADING = re.compile(rf"\s*{OPEN}(.*?){CLOSE}\s*", re.DOTALL)
# Several if the row's content begins with one too.
_EMPTY = re.compile(rf"(?:\s*{OPEN}\s*{CLOSE})+\s*")
_EMPTY_AFTER_OPEN = re.compile(rf"\s*{CLOSE}(?:\s*{OPEN}\s*{CLOSE})*\s*")
_CLOSING = re.compile(rf"{CLOSE}\s*")


def split_content(turn: Turn) -> tuple[list[str], str]:
    """Return the thoughts of an assistant turn, and its content without them.

    A content that begins with `<think>…</think>` holds a thought itself.
    """
    content: str = turn["content"]
    match = _LEADING.match(content) if CLOSE in content else None
    inside = match.group(1) if match else ""
    thoughts = (turn.get("reasoning_content") or "", inside)
    return [thought for thought in map(str.strip, thoughts) if thought], (
        content[match.end() :] if match else content
    )


def empty_thought_end(text: str, begin: int, end: int) -> int:
    """Return the end of the empty thought that an answer begins with; `begin` if it has none."""
    match = _EMPTY.match(text, begin, end)
    # Some templates open the thought in the generation prompt.
    if match is None and text[:begin].rstrip().endswith(OPEN):
        match = _EMPTY_AFTER_OPEN.match(text, begin, end)
    return match.end() if match else begin


def thought_end(text: str, begin: int, end: int, thought: str) -> int:
    """Return the end of a thought in an answer, with the tag and the blanks after it.

    Raises:
        RowError: no closing tag follows the thought.
    """
    # From the thought's end: it may name the tag itself.
    after = text.find(thought, begin, end)
    match = _CLOSING.search(text, after + len(thought), end) if after >= 0 else None
    if match is None:
        raise RowError(
            "data.train_on_reasoning=false needs the end of each thought, but the chat template "
            f"writes no {CLOSE} after it; set it to true, or model.chat_template to one that does"
        )
    return match.end()
