"""The filters that a candidate must pass: pacos' own set, or that of a paper.

A filter is a pure function of the candidate: it returns the reason for a rejection, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.config import FilterConfig
from selfinstruct.configs.method import FilterSetName
from selfinstruct.filters import paper
from selfinstruct.filters.corrupted_text import garbled_text, leaked_prompt, repetition
from selfinstruct.filters.endings import broken_off, trailing_colon
from selfinstruct.filters.language import other_language_than
from selfinstruct.filters.personal_data import personal_data
from selfinstruct.filters.refusals import asks_back, refuses
from selfinstruct.filters.safety import unsafe
from selfinstruct.filters.text_only import missing_input, needs_more_than_text
from selfinstruct.filters.well_formed import (
    copied_output,
    empty_output,
    length_between,
    starts_with_punctuation,
)

Filter = Callable[[Candidate], str | None]


@dataclass(frozen=True, slots=True)
class FilterSet:
    """Filters in the order they run; the first one that objects gives the reason."""

    instruction: tuple[Filter, ...]
    """Filters of an instruction, which need no output yet."""
    instance: tuple[Filter, ...]
    """Filters of a whole task."""


def filter_set(name: FilterSetName, lang: str, config: FilterConfig) -> FilterSet:
    """Return the filters of a set for tasks in one language (`en` or `ko`).

    The sets of the papers do not depend on the language: they are kept as published.
    """
    if name is FilterSetName.fixed:
        return _fixed(lang, config)
    length = length_between(config.min_words, config.max_words)
    both_papers = (
        paper.asks_for_program,
        paper.starts_with_ascii_punctuation,
        paper.starts_with_non_ascii,
    )
    if name is FilterSetName.alpaca_paper:
        # Alpaca's release does not filter outputs at all.
        return FilterSet((length, paper.has_keyword(paper.ALPACA_KEYWORDS), *both_papers), ())
    keyword = paper.has_keyword(paper.SELF_INSTRUCT_KEYWORDS)
    instance = (paper.output_equals_input, paper.no_output, paper.ends_with_colon)
    return FilterSet((length, keyword, *both_papers), instance)


def _fixed(lang: str, config: FilterConfig) -> FilterSet:
    other_language = other_language_than(lang)
    return FilterSet(
        instruction=(
            length_between(config.min_words, config.max_words, lang),
            starts_with_punctuation,
            leaked_prompt,
            needs_more_than_text,
            garbled_text,
            repetition,
            other_language,
        ),
        # Some filters run again here: an instance has an input and an output to look at.
        instance=(
            missing_input,
            empty_output,
            copied_output,
            trailing_colon,
            leaked_prompt,
            garbled_text,
            repetition,
            refuses,
            asks_back,
            other_language,
            broken_off,
            unsafe,
            personal_data,
        ),
    )


def first_objection(candidate: Candidate, filters: Sequence[Filter]) -> str | None:
    """Return the parser's defect, else the reason of the first filter that objects."""
    if candidate.defect is not None:
        return candidate.defect
    reasons = (reason_against(candidate) for reason_against in filters)
    return next((reason for reason in reasons if reason is not None), None)
