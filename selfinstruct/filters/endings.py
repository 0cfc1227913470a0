"""Endings of outputs: those that break off although the reply did not report a token limit.

A stop string or an undocumented limit of the service can cut a reply without saying so, and the
generator itself can stop in mid-sentence.
"""

from __future__ import annotations

import re

from selfinstruct.candidates.candidate import Candidate

FENCE = re.compile(r"^[ \t]*(?:```+|~~~+)", re.MULTILINE)
"""A Markdown code fence; an odd number of them leaves a block open."""
EMPTY_ITEM = re.compile(r"\n[ \t]*(?:\d+[.)]|[-*•·])[ \t]*\Z")
"""A list item without text at the end."""
OPEN_MARK = re.compile(r"(?:[,(\[{“‘「『《&]|[^\s–—-] ?[–—])\Z")
"""Punctuation that cannot end a text."""
OPEN_WORD = re.compile(
    r"\b(?:the|an?|and|or|which|because|their|its|your|our|between|including|such as)\Z"
    r"|(?:하며|하여|때문에|위해|위한|통해|통한|대한|관한|있는|하는|되는|에서|에게|으로써|로서|및|혹은|또는"
    r"|그리고|하지만|그러나|라고|한다고|면서|거나|도록|지만|는데)\Z",
    re.IGNORECASE,
)
"""Words that cannot end a text."""
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
CUT_YEAR = re.compile(
    rf"\b(?:in (?:{MONTHS}) \d{{1,2}}|(?:{MONTHS}) \d+(?:st|nd|rd|th)?, \d{{1,3}}"
    r"|(?:19|20)\d\d (?:to|and|through) \d{1,2})\Z"
)
"""A year cut by a stop string such as Alpaca's "20.": it leaves "in December 20"."""
OPEN_WORDS = 6
"""Fewest words of a last line that is checked for an open end. A shorter one may be a title, a
verse, a greeting, or a word that was asked for."""

SENTENCE_END = re.compile(r"(?:[a-z]{3}|[가-힣)\d])[.!?][\"”’)]?\s+(?=[“\"‘(]?[A-Z가-힣])")
"""The end of a sentence with another one after it. Three letters before the mark rule out most
abbreviations (Dr., a.m.)."""
FRAGMENT_WORDS = 4
"""Fewest words after the last complete sentence that count as a fragment; fewer are a signature."""
CUT_WORD = re.compile(r"[a-z]\Z|\s\d+\Z|(?:[은는을를의에와과로]|하고)\Z")
"""Ends that no sentence has. Korean sentences end in too many ways to list, so the pattern lists
particles that cannot end one."""
TAIL = re.compile(r"(?:#\w+|https?://\S+|\S*=\s*\S+|\S*[^\W\d]\d+\S*)\Z")
"""Hashtags, URLs, formulas and product names: they need no final mark."""
ITEM = re.compile(r"[ \t]*(?:\d+[.)]|[-*•·#>|]|[A-Z][\w ]{0,30}:)")
"""A line of a list, table, heading or dialogue: it needs no final mark."""


def trailing_colon(candidate: Candidate) -> str | None:
    """Reject an output that ends with a colon: what it announces is missing (Self-Instruct)."""
    return "output ends with a colon" if candidate.output.endswith(":") else None


def broken_off(candidate: Candidate) -> str | None:
    """Reject an output that breaks off in a sentence, a list or a code block."""
    output = candidate.output.rstrip()
    last = output.rpartition("\n")[2]
    is_long = len(last.split()) >= OPEN_WORDS
    breaks_off = (
        len(FENCE.findall(output)) % 2 == 1
        or EMPTY_ITEM.search(output)
        or (is_long and (OPEN_MARK.search(last) or OPEN_WORD.search(last)))
        or CUT_YEAR.search(last)
        or _ends_mid_sentence(last)
    )
    return "output breaks off" if breaks_off else None


def _ends_mid_sentence(line: str) -> bool:
    """Return True for prose whose last sentence has no end."""
    sentences = SENTENCE_END.split(line)
    fragment = sentences[-1]
    # One complete sentence must come first: a lone line without a mark may be an answer by itself.
    is_prose = len(sentences) > 1 and not ITEM.match(line)
    is_open = CUT_WORD.search(fragment) and not TAIL.search(fragment)
    return is_prose and bool(is_open) and len(fragment.split()) >= FRAGMENT_WORDS
