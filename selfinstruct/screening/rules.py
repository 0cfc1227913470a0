"""From a candidate to a verdict: what a generated task must be to enter the pool.

Each filter is a pure function that names what is wrong, or returns None. A form is a choice of
them: `fixed`, or those of a paper. Where a method makes instructions first and their instances
later, each is judged when it is there; novelty comes last.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pacos.contamination.evidence import Overlap
from selfinstruct.config import FilterConfig
from selfinstruct.filters import paper as papers
from selfinstruct.filters.corrupted_text import degenerate, garbled, leak
from selfinstruct.filters.endings import cut_short, unfinished_output
from selfinstruct.filters.language import written_in
from selfinstruct.filters.personal_data import personal_data
from selfinstruct.filters.refusals import question, refusal
from selfinstruct.filters.safety import declined, unsafe
from selfinstruct.filters.text_only import beyond_text, missing_input
from selfinstruct.instances import contradict, repeats
from selfinstruct.parse import Candidate
from selfinstruct.pool.novelty import Neighbour, NoveltyIndex

Filter = Callable[[Candidate, FilterConfig], str | None]

OPENING_MARKS = "\"'“‘«¿¡「『《〈("
"""Punctuation that a sentence may begin with."""

KOREAN_WORD = 1.5
"""English words to a Korean one, which carries particles and endings: instructions of the shipped
seeds have 28.7 words in English and 17.8 in Korean."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate enters the pool."""

    reason: str | None
    """Why not; None: it does."""
    nearest: Neighbour | None = None
    """The closest instruction of the pool; None where the candidate did not come so far."""
    declined: str | None = None
    """The danger that the output rightly declines to serve: a row that teaches to refuse."""
    quality: int | None = None
    """What an LLM judge gave it, of 1 to 10."""
    overlap: Overlap | None = None
    """The benchmark item that it gives away."""


@dataclass(frozen=True, slots=True)
class Form:
    """Filters, in the order in which they are asked; the first that objects gives the reason."""

    instruction: tuple[Filter, ...]
    """What an instruction must be, before it has an output."""
    instance: tuple[Filter, ...]
    """What the row must be."""


def length(candidate: Candidate, config: FilterConfig) -> str | None:
    """Instructions of a few words say too little; very long ones are runaways."""
    return _length(len(candidate.instruction.split()), config)


def korean_length(candidate: Candidate, config: FilterConfig) -> str | None:
    """The same, where a word is `KOREAN_WORD` English ones."""
    return _length(KOREAN_WORD * len(candidate.instruction.split()), config)


def _length(words: float, config: FilterConfig) -> str | None:
    if words < config.min_words:
        return "instruction too short"
    return "instruction too long" if words > config.max_words else None


def punctuation(candidate: Candidate, config: FilterConfig) -> str | None:
    """An instruction that begins with a mark is a fragment."""
    first = candidate.instruction[:1]
    is_mark = first and unicodedata.category(first)[0] in "PS" and first not in OPENING_MARKS
    return "starts with punctuation" if is_mark else None


def empty_output(candidate: Candidate, config: FilterConfig) -> str | None:
    """Nothing, or punctuation alone; a symbol or an emoji can be an answer."""
    says = any(unicodedata.category(character)[0] in "LNS" for character in candidate.output)
    return None if says else "empty output"


def copied_output(candidate: Candidate, config: FilterConfig) -> str | None:
    """The output says again what was given."""
    output = candidate.output.split()
    if output == candidate.input.split():
        return "output equals input"
    return "output equals instruction" if output == candidate.instruction.split() else None


def _fixed(lang: str) -> Form:
    in_language = written_in(lang)
    lengths = {"en": length, "ko": korean_length}
    return Form(
        (lengths[lang], punctuation, leak, beyond_text, garbled, degenerate, in_language),
        (
            missing_input,
            empty_output,
            copied_output,
            unfinished_output,
            leak,
            garbled,
            degenerate,
            refusal,
            question,
            in_language,
            cut_short,
            unsafe,
            personal_data,
        ),
    )


_BOTH_PAPERS: tuple[Filter, ...] = (papers.program, papers.ascii_punctuation, papers.non_ascii)
_SELF_INSTRUCT = Form(
    (length, papers.keyword(papers.SELF_INSTRUCT_WORDS), *_BOTH_PAPERS),
    (papers.same_as_input, papers.no_output, papers.colon),
)
_ALPACA = Form((length, papers.keyword(papers.ALPACA_WORDS), *_BOTH_PAPERS), ())

FORMS: dict[str, dict[str, Form]] = {
    "fixed": {lang: _fixed(lang) for lang in ("en", "ko")},
    "self_instruct_paper": dict.fromkeys(("en", "ko"), _SELF_INSTRUCT),
    "alpaca_paper": dict.fromkeys(("en", "ko"), _ALPACA),
}
"""By the name that `method.filters` gives them, and the language of the task."""


CONTRADICTION = "another output for the same input"
REPETITION = "the same instance twice"


def judge(
    candidate: Candidate,
    config: FilterConfig,
    pool: NoveltyIndex,
    form: Form = FORMS["fixed"]["en"],
) -> Verdict:
    """Judge a whole task: its parts, and whether the instruction is new."""
    reason = _objection(candidate, config, (*form.instruction, *form.instance))
    return Verdict(reason) if reason else _novelty(candidate, config, pool)


def judge_instruction(
    candidate: Candidate, config: FilterConfig, pool: NoveltyIndex, form: Form
) -> Verdict:
    """Judge an instruction that has no instances yet."""
    reason = _objection(candidate, config, form.instruction)
    return Verdict(reason) if reason else _novelty(candidate, config, pool)


def judge_instances(
    candidates: Sequence[Candidate], config: FilterConfig, form: Form
) -> list[Verdict]:
    """Judge the instances of one instruction, in order: each by itself, then against each other."""
    reasons = [_objection(candidate, config, form.instance) for candidate in candidates]
    sound = [at for at, reason in enumerate(reasons) if reason is None]
    kept = [candidates[at] for at in sound]
    if contradict(kept):
        for at in sound:
            reasons[at] = CONTRADICTION
    else:
        for at, is_repeated in zip(sound, repeats(kept), strict=True):
            reasons[at] = REPETITION if is_repeated else None
    return [
        Verdict(reason, declined=None if reason else _declined(candidate))
        for candidate, reason in zip(candidates, reasons, strict=True)
    ]


def _objection(candidate: Candidate, config: FilterConfig, filters: Sequence[Filter]) -> str | None:
    """What the parser found, or the first filter that objects."""
    if candidate.defect is not None:
        return candidate.defect
    reasons = (objection(candidate, config) for objection in filters)
    return next((reason for reason in reasons if reason is not None), None)


def _novelty(candidate: Candidate, config: FilterConfig, pool: NoveltyIndex) -> Verdict:
    nearest = pool.nearest(candidate.instruction)
    if nearest is not None and nearest.score > config.max_similarity:
        return Verdict("too similar", nearest)
    return Verdict(None, nearest, _declined(candidate))


def _declined(candidate: Candidate) -> str | None:
    danger = declined(candidate)
    return None if danger is None else danger.value
