"""The language of a row: that of its request, unless the task is about another language."""

from __future__ import annotations

import re
from collections.abc import Callable

from pacos.text.language import language, prose, runs
from selfinstruct.candidates.candidate import Candidate

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
"""Words of tasks about languages; such tasks may mix them."""
ABOUT_CODE = re.compile(
    r"코드|프로그램|함수|스크립트|쿼리|명령어|정규 ?표현식|정규식|수식|파이썬|자바|엑셀|터미널|깃"
    r"|\b(?:python|java|javascript|sql|html|css|json|yaml|xml|regex|bash|git|c\+\+|latex|excel)\b",
    re.IGNORECASE,
)
"""Words of tasks about code, whose output may be English in a Korean row."""

SCRIPT = {"en": "latin", "ko": "hangul"}
"""Script that an instruction of each language contains."""
STRAY = {"en": frozenset({"hangul", "han", "kana"}), "ko": frozenset({"han", "kana"})}
"""East Asian scripts that generators slip into."""
OTHER_SCRIPTS = frozenset({"cyrillic", "arabic", "hebrew", "devanagari", "thai"})
"""Other scripts that do not belong in a row. Greek is missing: its letters stand for quantities."""
STRAY_LETTERS = 2
"""Fewest letters in a row that count as foreign text. A single one is a symbol, or an abbreviation
of Korean newspapers (故, 美)."""
IN_BRACKETS = re.compile(
    r"[(（][^()（）\n]{0,300}[)）]|[\"“‘'「『][^\"”’'」』\n]{0,300}[\"”’'」』]"
)
"""Text in brackets or quotes, where foreign words are at home; bounded against backtracking."""


def other_language_than(lang: str) -> Callable[[Candidate], str | None]:
    """Return a filter that rejects rows in another language than `lang` (`en` or `ko`)."""

    def other_language(candidate: Candidate) -> str | None:
        asked = f"{candidate.instruction}\n{candidate.input}"
        scripts = {script for script, _ in runs(candidate.instruction)}
        # Too few words to detect a language (None) pass if they are in the right script.
        if language(candidate.instruction) not in (lang, None) or SCRIPT[lang] not in scripts:
            return "instruction in another language"
        # Such a task may ask for any mixture, and the rules below would reject all of them.
        if ABOUT_LANGUAGE.search(asked):
            return None
        if _has_stray(candidate.instruction, "", lang) or _has_stray(candidate.output, asked, lang):
            return "mixes languages"
        output_language = language(candidate.output)
        is_asked = output_language == language(candidate.input) or ABOUT_CODE.search(asked)
        return None if output_language in (lang, None) or is_asked else "output in another language"

    return other_language


def _has_stray(text: str, asked: str, lang: str) -> bool:
    """Return True if the text has foreign letters, outside brackets, that the task itself lacks."""
    known = {script for script, _ in runs(asked)}
    foreign = (STRAY[lang] | OTHER_SCRIPTS) - known
    # Brackets gloss a word (世宗). Twice, for brackets within brackets.
    outside = IN_BRACKETS.sub(" ", IN_BRACKETS.sub(" ", prose(text)))
    return any(script in foreign and len(run) >= STRAY_LETTERS for script, run in runs(outside))
