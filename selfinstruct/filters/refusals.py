"""Outputs of chat models that do not do the task: they refuse it, or ask back."""

from __future__ import annotations

import re

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.filters.safety import declined_hazard

REFUSAL = re.compile(
    r"\bas an? (?:ai|language model|chat ?bot|text-based|digital assistant|helpful assistant)\b"
    r"|\bi(?:'m| am) (?:unable|not able|not capable|not equipped|not familiar with)\b"
    r"|\bi(?:'m| am) sorry for (?:the|any|your)\b|^\W*(?:no, )?i(?:'m| am) (?:afraid|sorry, but)\b"
    r"|\bi (?:do not|don't) have (?:the (?:ability|capability)|access|personal)\b"
    r"|\bi (?:can't|cannot) (?:help(?! but)|assist|provide|answer|do (?:that|this))\b"
    r"|(?:저는|나는|제가|난) ?(?:ai|인공지능|인공 지능|언어 ?모델|챗봇)"
    r"|(?:ai|인공지능|언어 ?모델|챗봇)(?:로서|이기 때문|이므로|이라서?)"
    r"|^\W*(?:정말 |대단히 )?(?:죄송|미안|유감)"
    r"[^.?!\n]{0,40}?(?:수 ?(?:는|가)? ?없|어렵|못|않)"
    r"|(?:답변|답|도움|도와|정보)(?:을|를)? ?(?:해 |드|제공)"
    r"[^.?!\n]{0,6}?(?:수 ?(?:는|가)? ?없|어렵)",
    re.IGNORECASE,
)
"""Phrases by which a chat model refuses, or speaks of itself as a model."""

QUESTION = re.compile(
    r"(?:^|[.!?\n][ \t]*)(?:(?:how|what) (?:can|may) i|(?:do|are|could|can|would) you"
    r"|is there anything|what (?:kind|type|sort)"
    r"|what(?:'s| is| are|'re| do| would| brings)(?: on)? you)[^.!?\n]*\?\s*$"
    r"|(?:도와 ?드릴까요|무엇을 원하|원하시나요|원하세요|필요하신가요|있으신가요|싶으신가요"
    r"|싶으세요|궁금하신가요|알려 ?주시겠|말씀해 ?주시겠|주실 수 있나요)[^.!?\n]{0,6}\?\s*$",
    re.IGNORECASE,
)
"""A last sentence that asks the user something."""
QUESTION_WORDS = 60
"""Most words of an output that only asks back; a longer one has answered before its question."""
WANTS_QUESTION = re.compile(
    r"question|interview|survey|dialogue|conversation|inquir|\bask|질문|물음|문의|설문|면접|대화|응대|인사말",
    re.IGNORECASE,
)
"""Tasks whose output may end with a question."""
WANTS_APOLOGY = re.compile(
    r"apolog|sorry|condolence|complain|customer|repl(?:y|ies)|respon|사과|위로|조의|조문|답장|고객|손님|거절",
    re.IGNORECASE,
)
"""Tasks whose output may apologise or decline: that is not a refusal by the model."""


def refuses(candidate: Candidate) -> str | None:
    """Reject a refusal of a harmless request; a rightly declined hazard is a good row."""
    if not REFUSAL.search(candidate.output.replace("’", "'")):
        return None
    is_wanted = WANTS_APOLOGY.search(candidate.instruction) or declined_hazard(candidate)
    return None if is_wanted else "output refuses"


def asks_back(candidate: Candidate) -> str | None:
    """Reject an output that asks back, unless the task is to write a question."""
    output = candidate.output.replace("’", "'")
    if len(output.split()) > QUESTION_WORDS or WANTS_QUESTION.search(candidate.instruction):
        return None
    is_question = QUESTION.search(output) and not declined_hazard(candidate)
    return "output asks back" if is_question else None
