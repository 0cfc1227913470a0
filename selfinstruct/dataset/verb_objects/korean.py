"""Verb and object of a Korean instruction.

The verb is that of the first request (…해 주세요, …하시오), in its dictionary form; the object is
the noun with 을 or 를 closest before it. What this cannot see: questions have no pair, nor have
requests whose object has 은, 는, 만 in the place of 을 and 를, or nothing: of the shipped seeds,
which often do, 27 % have a pair, and all of these were found right in a reading.

With kiwipiepy (extra `ko`) by morphemes. Without it by the endings of words alone: contracted verbs
then keep the form that they have (써, 골라), and counters (세 개를) have no pair.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Sequence
from typing import Any

BY_MORPHEMES = "morphemes (kiwipiepy)"
BY_ENDINGS = "endings of words"

REQUEST_ENDINGS = re.compile(r"으?세요|으?십?시오|오|[아어여]?라|자|ᆸ시다|읍시다")
"""Final endings (EF) that ask for something by themselves."""

PREDICATES = ("VV", "VA", "XSV", "XSA", "VCP")
NOUNS = ("NNG", "NNP", "SL", "XR")
COUNTING = ("NNB", "NR", "MM", "SN", "JX")
"""Between a noun and what says how many: 문제 세 개를 is about 문제."""
SUPPORTS = ("하", "드리")
"""Verbs that with a noun before them make one: 부탁드리다."""

_ASKS = re.compile(r"\S*?(?:해라|하라|줘요?|세요|시오)[.!~]*")
_GIVE = re.compile(r"(?:주|줘|줄)\S*")
_HADA = re.compile(r"(?:하십?시오|하세요|해라|하라|해|해줘요?|해주세요|해주십시오)[.!~]*$")
_ASKED = re.compile(r"(?:줘요?|주?세요|(?:주십|십)?시오)[.!~]*$")
_OBJECT = re.compile(r"[\"'‘’“”(]*([가-힣\w]+?)[\"'‘’“”)]*[을를]")
_COUNTERS = ("개", "가지", "명", "마리", "권", "번", "줄", "하나", "둘", "것", "이것", "그것")
NEAR = 4
"""Words before the verb in which its object is looked for by endings."""


def rule() -> str:
    """Which of the two ways is open here."""
    return BY_MORPHEMES if importlib.util.find_spec("kiwipiepy") else BY_ENDINGS


def verb_object(instruction: str) -> tuple[str, str] | None:
    """The pair; None where the rules find none."""
    return _finder()(instruction)


@functools.cache
def _finder() -> Callable[[str], tuple[str, str] | None]:
    if rule() == BY_ENDINGS:
        return by_endings
    from kiwipiepy import Kiwi

    # Names of several words and typing errors tell no verb: half the time to load, 200 MB less.
    kiwi = Kiwi(load_multi_dict=False, load_typo_dict=False)
    return lambda text: by_morphemes(kiwi.tokenize(text))


def by_morphemes(tokens: Sequence[Any]) -> tuple[str, str] | None:
    """The pair from tokens with a `form` and a `tag` (Sejong), as kiwipiepy gives them."""
    verb = None
    for place, token in enumerate(tokens):
        if token.tag.startswith(("VV", "XSV")):
            verb = place
        elif verb is not None and _asks(tokens, place):
            return _pair(tokens, verb)
    return None


def _asks(tokens: Sequence[Any], place: int) -> bool:
    """Whether a sentence becomes a request here: by its ending, or by 주다 that helps a verb."""
    token = tokens[place]
    if token.tag == "EF":
        return REQUEST_ENDINGS.fullmatch(token.form) is not None
    if token.tag != "VX" or token.form != "주":
        return False
    after = next((one for one in tokens[place + 1 :] if one.tag != "EP"), None)
    return after is not None and (after.tag == "EF" or after.form in ("면", "으면", "ᆯ래"))


def _pair(tokens: Sequence[Any], verb: int) -> tuple[str, str] | None:
    lemma, before = f"{tokens[verb].form}다", verb - 1
    is_supported = tokens[verb].tag == "XSV" or tokens[verb].form in SUPPORTS
    if is_supported and before >= 0 and tokens[before].tag in NOUNS:
        lemma, before = f"{tokens[before].form}{lemma}", before - 1
    for place in range(before, 0, -1):
        tag = tokens[place].tag
        if tag.startswith(PREDICATES) or tag == "SF":
            return None
        if tag == "JKO":
            noun = _noun(tokens, place - 1)
            return None if noun is None else (lemma, noun)
    return None


def _noun(tokens: Sequence[Any], place: int) -> str | None:
    """The noun that ends there, with its suffixes."""
    while place > 0 and tokens[place].tag in (*COUNTING, "SSC", "SSO"):
        place -= 1
    suffix = ""
    while place > 0 and tokens[place].tag == "XSN":
        suffix = suffix if tokens[place].form == "들" else f"{tokens[place].form}{suffix}"
        place -= 1
    return f"{tokens[place].form}{suffix}" if tokens[place].tag in NOUNS else None


def by_endings(instruction: str) -> tuple[str, str] | None:
    """The pair from the endings of words alone."""
    words = instruction.split()
    for place, word in enumerate(words):
        if not _ASKS.fullmatch(word):
            continue
        at = place - 1 if _GIVE.fullmatch(word) and place else place
        verb = _HADA.sub("하다", words[at])
        verb = _ASKED.sub("", verb) if verb == words[at] else verb
        for before in reversed(words[max(0, at - NEAR) : at]):
            found = _OBJECT.fullmatch(before)
            if found and found[1] not in _COUNTERS:
                return (verb, found[1]) if verb else None
        return None
    return None
