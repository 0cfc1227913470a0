"""The language of a row: that of the run, unless the task asks for another."""

from __future__ import annotations

import re
from collections.abc import Callable

from pacos.text.language import language, prose, runs
from selfinstruct.config import FilterConfig
from selfinstruct.parse import Candidate

Filter = Callable[[Candidate, FilterConfig], str | None]

ABOUT_LANGUAGE = re.compile(
    r"translat|language|bilingual|multilingual|foreign|loanword|etymolog|alphabet|unicode"
    r"|\b(?:english|french|spanish|portuguese|italian|catalan|german|dutch|russian|polish|swedish"
    r"|danish|norwegian|finnish|greek|turkish|arabic|hebrew|hindi|sanskrit|latin|chinese|mandarin"
    r"|cantonese|japanese|korean|thai|vietnamese|indonesian|kanji|hanja|hangul|kana)\b"
    r"|번역|통역|언어|외국어|외래어|영문|영작|영단어|영숙어|한자|한문|원문|사자성어|고사성어|로마자|알파벳"
    r"|(?:한국|영|일본|일|중국|프랑스|불|독일|독|스페인|서반아|이탈리아|러시아|포르투갈|아랍|베트남|태국"
    r"|라틴|힌디|네덜란드|그리스|터키|몽골|인도네시아|외국|모국|국)어(?![가-힣]?[가-힣]다)",
    re.IGNORECASE,
)
"""Tasks about languages."""
ABOUT_CODE = re.compile(
    r"코드|프로그램|함수|스크립트|쿼리|명령어|정규 ?표현식|정규식|수식|파이썬|자바|엑셀|터미널|깃"
    r"|\b(?:python|java|javascript|sql|html|css|json|yaml|xml|regex|bash|git|c\+\+|latex|excel)\b",
    re.IGNORECASE,
)

SCRIPT = {"en": "latin", "ko": "hangul"}
"""That of instructions in each language."""
STRAY = {"en": frozenset({"hangul", "han", "kana"}), "ko": frozenset({"han", "kana"})}
"""Scripts that teachers slip into; letters of others stand for quantities and symbols."""
OTHER_SCRIPTS = frozenset({"cyrillic", "arabic", "hebrew", "devanagari", "thai"})
STRAY_LETTERS = 2
"""Fewer in a run are a symbol, or an abbreviation of Korean newspapers (故, 美)."""
IN_BRACKETS = re.compile(
    r"[(（][^()（）\n]{0,300}[)）]|[\"“‘'「『][^\"”’'」』\n]{0,300}[\"”’'」』]"
)


def written_in(lang: str) -> Filter:
    """A filter that drops rows in another language than `lang` (ISO 639-1: en or ko)."""

    def other_language(candidate: Candidate, config: FilterConfig) -> str | None:
        asked = f"{candidate.instruction}\n{candidate.input}"
        scripts = {script for script, _ in runs(candidate.instruction)}
        # A few words tell no language, but that of another script is none.
        if language(candidate.instruction) not in (lang, None) or SCRIPT[lang] not in scripts:
            return "instruction in another language"
        if ABOUT_LANGUAGE.search(asked):
            return None
        if _has_stray(candidate.instruction, "", lang) or _has_stray(candidate.output, asked, lang):
            return "mixes languages"
        found = language(candidate.output)
        is_asked = found == language(candidate.input) or ABOUT_CODE.search(asked)
        return None if found in (lang, None) or is_asked else "output in another language"

    return other_language


def _has_stray(text: str, asked: str, lang: str) -> bool:
    """Letters of a foreign script, in the middle of the text, that the task has none of."""
    known = {script for script, _ in runs(asked)}
    foreign = (STRAY[lang] | OTHER_SCRIPTS) - known
    # Twice, for brackets within brackets.
    outside = IN_BRACKETS.sub(" ", IN_BRACKETS.sub(" ", prose(text)))
    return any(script in foreign and len(run) >= STRAY_LETTERS for script, run in runs(outside))
