"""Word tokenization in any language, for novelty, decontamination and reports alike."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from enum import Enum
from typing import Any

from pacos.errors import UserError

ASCII_WORD = re.compile(r"[a-z0-9]+")

FUNCTION_TAGS = ("J", "E")
"""Sejong tags of Korean particles and endings. Without them 서울은 and 서울이 are one word."""

KIWI_CACHE = 4096
"""Texts whose morphemes are cached: a sentence takes about 1 ms, and a candidate is tokenized to be
compared and again to be added to the pool."""


class WordRule(Enum):
    """Rule for splitting a text into words."""

    unicode = "unicode"
    """By letters and digits only."""
    kiwi = "kiwi"
    """Korean text into morphemes, without particles and endings; needs the extra `ko`."""


def tokenize(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case.

    On ASCII text they are the tokens of rouge_score without stemming: runs of a-z and 0-9. On other
    text, after NFKC and case folding:

    - letters and digits of a script, with their marks, form a word; `_` and punctuation end it;
    - a run of Hangul is a word apart from what it is attached to: `Python으로` is python, 으로;
    - in scripts written without spaces each character is a word: Han, kana, and Unicode's line
      breaking class SA (Thai, Lao, Khmer, Burmese and related scripts).
    """
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    words: list[str] = _word_pattern().findall(folded)
    return words


def tokenizer(rule: WordRule) -> Callable[[str], list[str]]:
    """Return the function that splits text by a rule.

    Raises:
        UserError: the rule needs kiwipiepy, and it is not installed.
    """
    if rule is WordRule.unicode:
        return tokenize
    _kiwi()
    return lambda text: list(_morphemes(text))


@functools.cache
def _word_pattern() -> Any:
    import regex

    spaceless = r"\p{Han}\p{scx=Hira}\p{scx=Kana}\p{LB=SA}"
    return regex.compile(
        r"(?V1)[\p{Hangul}&&\p{L}]+"
        rf"|[[{spaceless}]&&[\p{{L}}\p{{N}}]]\p{{M}}*"
        # A joiner (U+200C, U+200D) stands inside Persian and Indic words.
        rf"|(?:[[\p{{L}}\p{{N}}]--[{spaceless}\p{{Hangul}}]][\p{{M}}\u200c\u200d]*)+"
    )


@functools.lru_cache(KIWI_CACHE)
def _morphemes(text: str) -> tuple[str, ...]:
    words = tokenize(text)
    if not any("가" <= word[0] <= "힣" for word in words):
        return tuple(words)
    tokens = _kiwi().tokenize(unicodedata.normalize("NFKC", text))
    content = (token.form for token in tokens if not token.tag.startswith(FUNCTION_TAGS))
    return tuple(word for form in content for word in tokenize(form))


@functools.cache
def _kiwi() -> Any:
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise UserError(
            "words = kiwi: the package kiwipiepy is not installed; "
            "run: pip install -c constraints.txt -e '.[ko]', or choose words = unicode"
        ) from error
    return Kiwi()
