"""Language identification by script and, for Latin letters, by frequent words.

It needs no model to download, and is fast enough for every row of a data set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

SCRIPTS = {
    "latin": "A-Za-zÀ-ÖØ-öø-ɏ",
    "hangul": "가-힣ㄱ-ㆎᄀ-ᇿ",
    "han": "㐀-䶿一-鿿豈-﫿々",
    "kana": "ぁ-ゖァ-ヺー",
    "cyrillic": "Ѐ-ӿ",
    "greek": "Ͱ-Ͽἀ-῿",
    "arabic": "؀-ۿݐ-ݿ",
    "hebrew": "֐-׿",
    "devanagari": "ऀ-ॿ",
    "thai": "ก-๛",
}
"""Letters of each script, as the inside of a regex character class."""

LANGUAGE_OF = {
    "hangul": "ko",
    "cyrillic": "ru",
    "greek": "el",
    "arabic": "ar",
    "hebrew": "he",
    "devanagari": "hi",
    "thai": "th",
}
"""The most spoken language of each script that several languages share."""

SMALL_WORDS = {
    "en": "a the and of to is in that it for with are this was you be have not they from which can"
    " an or as on by at no do how what your their his her he she we i has were will if but me",
    "es": "el la los las de que y en un una por para con es su se del como más pero al lo",
    "fr": "le la les des et est un une dans pour que qui du sur avec pas ce il elle au nous à",
    "de": "der die das und ist nicht ein eine zu mit den von auf für sich des dem im es auch wie",
    "it": "il la di che e un una per è con non del della sono gli le in al dei si nel come più",
    "pt": "o a de que e em um uma para com não os as do da por se no na mais como ao são é",
    "nl": "de het een en van is dat niet op te zijn voor met die er aan ook als bij om dit wordt",
    "id": "yang dan di untuk dengan ini itu dari adalah tidak pada dalam akan ke atau juga oleh",
    "vi": "là và của các có không được cho một trong người này với những để khi từ cũng đã",
}
"""Frequent function words by ISO 639-1 code. Only their lower case counts: within titles and names
they say little about the language of the text around them."""

LATIN_WORDS = 5
"""Fewest words of a Latin-letter text whose language is decided."""
LATIN_SHARE = 0.2
"""Smallest share of function words that decides a language; in English prose it is about 0.35."""

FOREIGN_WORDS = 2
"""Fewest different function words that English lacks; fewer may be names and terms in English."""

HANGUL_WEIGHT = 2
"""Weight of a Hangul word against a Latin one: Korean texts are full of Latin names and terms,
while English texts contain Hangul only in quotations."""
CHARACTERS_A_WORD = 2
"""Average characters of a word in Chinese and Japanese, which write no spaces."""

_RUN = re.compile("|".join(f"(?P<{name}>[{letters}]+)" for name, letters in SCRIPTS.items()))
_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]{0,300}`|\$[^$\n]{1,300}\$|\\[a-zA-Z]+|</?[a-zA-Z][^<>\n]{0,300}>"
    r"|\b(?:https?://|www\.)\S+|(?<!\S)[^\s@]{1,64}@\S+",
    re.DOTALL,
)
_OWNERS = {
    word: [code for code, words in SMALL_WORDS.items() if word in words.split()]
    for words in SMALL_WORDS.values()
    for word in words.split()
}


def prose(text: str) -> str:
    """Return the text without code in backquotes, formulas, tags, links and addresses."""
    return _NOT_PROSE.sub(" ", text)


def runs(text: str) -> Iterator[tuple[str, str]]:
    """Yield each run of letters of one script, with the script's name."""
    for match in _RUN.finditer(text):
        yield str(match.lastgroup), match.group()


def language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language that most of a text is in, or None.

    None means undecided: no letters, or Latin letters in too few words or in none of the languages
    of `SMALL_WORDS`. A script that several languages share counts as `LANGUAGE_OF`.
    """
    words: Counter[str] = Counter()
    latin = []
    for script, run in runs(prose(text)):
        # Counts are in half words, so that two characters of Han or kana equal one Latin word.
        if script in ("han", "kana"):
            words[script] += len(run)
        else:
            words[script] += HANGUL_WEIGHT * CHARACTERS_A_WORD if script == "hangul" else 2
        if script == "latin":
            latin.append(run)
    if not words:
        return None
    east_asian = words["han"] + words["kana"]
    script, count = max(words.items(), key=lambda item: item[1])
    # Japanese mixes Han with kana, so the two count together; any kana makes it Japanese.
    if east_asian > max(words["hangul"], words["latin"]) and east_asian >= count:
        return "ja" if words["kana"] else "zh"
    return _latin_language(latin) if script == "latin" else LANGUAGE_OF.get(script)


def _latin_language(words: list[str]) -> str | None:
    if len(words) < LATIN_WORDS:
        return None
    votes: Counter[str] = Counter()
    for word in words:
        for code in _OWNERS.get(word, ()):
            votes[code] += 1
    (code, most), (_, second) = [*votes.most_common(2), ("", 0), ("", 0)][:2]
    is_clear = most > second and most >= LATIN_SHARE * len(words)
    foreign = {word for word in words if "en" not in _OWNERS.get(word, ["en"])}
    return code if is_clear and (code == "en" or len(foreign) >= FOREIGN_WORDS) else None
