"""How an output ends: whether it was broken off, though no token limit is known to have cut it.

A stop text or a limit of the service can cut a reply unseen; so can the teacher itself.
"""

from __future__ import annotations

import re

from selfinstruct.config import FilterConfig
from selfinstruct.parse import Candidate

FENCE = re.compile(r"^[ \t]*(?:```+|~~~+)", re.MULTILINE)

EMPTY_ITEM = re.compile(r"\n[ \t]*(?:\d+[.)]|[-*•·])[ \t]*\Z")
OPEN_MARK = re.compile(r"(?:[,(\[{“‘「『《&]|[^\s–—-] ?[–—])\Z")
OPEN_WORD = re.compile(
    r"\b(?:the|an?|and|or|which|because|their|its|your|our|between|including|such as)\Z"
    r"|(?:하며|하여|때문에|위해|위한|통해|통한|대한|관한|있는|하는|되는|에서|에게|으로써|로서|및|혹은|또는"
    r"|그리고|하지만|그러나|라고|한다고|면서|거나|도록|지만|는데)\Z",
    re.IGNORECASE,
)
"""After these something must follow."""
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
CUT_YEAR = re.compile(
    rf"\b(?:in (?:{MONTHS}) \d{{1,2}}|(?:{MONTHS}) \d+(?:st|nd|rd|th)?, \d{{1,3}}"
    r"|(?:19|20)\d\d (?:to|and|through) \d{1,2})\Z"
)
"""What a stop text such as "20." leaves of a year."""
OPEN_WORDS = 6
"""A shorter last line may be a title, a verse, the greeting of a letter, or a word filled in."""

SENTENCE_END = re.compile(r"(?:[a-z]{3}|[가-힣)\d])[.!?][\"”’)]?\s+(?=[“\"‘(]?[A-Z가-힣])")
FRAGMENT_WORDS = 4
"""Of what follows the last sentence; less is a signature, or a title."""
CUT_WORD = re.compile(r"[a-z]\Z|\s\d+\Z|(?:[은는을를의에와과로]|하고)\Z")
"""Ends like these are no ends of sentences; Korean ones end in many ways, these are none."""
TAIL = re.compile(r"(?:#\w+|https?://\S+|\S*=\s*\S+|\S*[^\W\d]\d+\S*)\Z")
"""Hashtags, addresses, formulas and names of things stand without a mark."""
ITEM = re.compile(r"[ \t]*(?:\d+[.)]|[-*•·#>|]|[A-Z][\w ]{0,30}:)")
"""A line of a list, a table, a heading or a dialogue: it may end without a mark."""


def unfinished_output(candidate: Candidate, config: FilterConfig) -> str | None:
    """A colon announces what then is not there (Self-Instruct)."""
    return "output ends with a colon" if candidate.output.endswith(":") else None


def cut_short(candidate: Candidate, config: FilterConfig) -> str | None:
    """It breaks off in a sentence, a list or a block of code."""
    output = candidate.output.rstrip()
    last = output.rpartition("\n")[2]
    is_long = len(last.split()) >= OPEN_WORDS
    breaks_off = (
        len(FENCE.findall(output)) % 2 == 1
        or EMPTY_ITEM.search(output)
        or (is_long and (OPEN_MARK.search(last) or OPEN_WORD.search(last)))
        or CUT_YEAR.search(last)
        or _ends_in_a_sentence(last)
    )
    return "output breaks off" if breaks_off else None


def _ends_in_a_sentence(line: str) -> bool:
    """Prose, whose last sentence has no end."""
    sentences = SENTENCE_END.split(line)
    fragment = sentences[-1]
    is_prose = len(sentences) > 1 and not ITEM.match(line)
    is_open = CUT_WORD.search(fragment) and not TAIL.search(fragment)
    return is_prose and bool(is_open) and len(fragment.split()) >= FRAGMENT_WORDS
