"""Verb and object of a Korean instruction.

The verb is that of the first request (…해 주세요, …하시오), in its dictionary form. The object is
the nearest noun before it with 을 or 를. Limits: questions have no pair, nor have requests whose
object carries 은, 는, 만 or no particle instead. That is frequent in the shipped seeds: 27 % of
them have a pair, and all of these were right when read by a person.

With kiwipiepy (extra `ko`) the rules use morphemes. Without it they use word endings: contracted
verbs then keep their form (써, 골라), and objects that are counted (세 개를) have no pair.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Sequence
from typing import Protocol

BY_MORPHEMES = "morphemes (kiwipiepy)"
"""Name of the rule in the report, with kiwipiepy."""
BY_ENDINGS = "endings of words"
"""Name of the rule in the report, without it."""

REQUEST_ENDINGS = re.compile(r"으?세요|으?십?시오|오|[아어여]?라|자|ᆸ시다|읍시다")
"""Final endings (tag EF) that make a request by themselves."""

PREDICATES = ("VV", "VA", "XSV", "XSA", "VCP")
"""Sejong tags of predicates: the search for an object must not cross another one."""
NOUNS = ("NNG", "NNP", "SL", "XR")
"""Sejong tags of nouns, foreign words and roots."""
COUNTING = ("NNB", "NR", "MM", "SN", "JX")
"""Sejong tags between a noun and its counter: the object of 문제 세 개를 is 문제."""
SUPPORTS = ("하", "드리")
"""Light verbs, which form a verb with the noun before them: 부탁드리다."""

_ASKS = re.compile(r"\S*?(?:해라|하라|줘요?|세요|시오)[.!~]*")
_GIVE = re.compile(r"(?:주|줘|줄)\S*")
_HADA = re.compile(r"(?:하십?시오|하세요|해라|하라|해|해줘요?|해주세요|해주십시오)[.!~]*$")
_ASKED = re.compile(r"(?:줘요?|주?세요|(?:주십|십)?시오)[.!~]*$")
_OBJECT = re.compile(r"[\"'‘’“”(]*([가-힣\w]+?)[\"'‘’“”)]*[을를]")
_COUNTERS = ("개", "가지", "명", "마리", "권", "번", "줄", "하나", "둘", "것", "이것", "그것")
NEAR = 4
"""Words before the verb that are searched for its object, by endings."""


class Token(Protocol):
    """A morpheme, as kiwipiepy returns it."""

    @property
    def form(self) -> str: ...
    @property
    def tag(self) -> str:
        """Part of speech (Sejong tag set)."""
        ...


def rule() -> str:
    """Return the name of the rule that this environment can use."""
    return BY_MORPHEMES if importlib.util.find_spec("kiwipiepy") else BY_ENDINGS


def verb_object(instruction: str) -> tuple[str, str] | None:
    """Return verb and object; None if the rules find no pair."""
    return _finder()(instruction)


@functools.cache
def _finder() -> Callable[[str], tuple[str, str] | None]:
    if rule() == BY_ENDINGS:
        return by_endings
    from kiwipiepy import Kiwi

    # Neither dictionary helps to find a verb. Loading without them takes half the time and saves
    # 200 MB.
    kiwi = Kiwi(load_multi_dict=False, load_typo_dict=False)
    return lambda text: by_morphemes(kiwi.tokenize(text))


def by_morphemes(tokens: Sequence[Token]) -> tuple[str, str] | None:
    """Return the pair from the morphemes of an instruction."""
    verb = None
    for place, token in enumerate(tokens):
        if token.tag.startswith(("VV", "XSV")):
            verb = place
        elif verb is not None and _asks(tokens, place):
            return _pair(tokens, verb)
    return None


def _asks(tokens: Sequence[Token], place: int) -> bool:
    """Return True if the token makes a request: a final ending, or the auxiliary verb 주다."""
    token = tokens[place]
    if token.tag == "EF":
        return REQUEST_ENDINGS.fullmatch(token.form) is not None
    if token.tag != "VX" or token.form != "주":
        return False
    # EP, the honorific or tense in between, does not change the mood.
    after = next((later for later in tokens[place + 1 :] if later.tag != "EP"), None)
    return after is not None and (after.tag == "EF" or after.form in ("면", "으면", "ᆯ래"))


def _pair(tokens: Sequence[Token], verb: int) -> tuple[str, str] | None:
    lemma, before = f"{tokens[verb].form}다", verb - 1
    is_supported = tokens[verb].tag == "XSV" or tokens[verb].form in SUPPORTS
    if is_supported and before >= 0 and tokens[before].tag in NOUNS:
        lemma, before = f"{tokens[before].form}{lemma}", before - 1
    # Down to 1: an object particle at 0 has no noun before it.
    for place in range(before, 0, -1):
        tag = tokens[place].tag
        if tag.startswith(PREDICATES) or tag == "SF":
            return None
        if tag == "JKO":
            noun = _noun(tokens, place - 1)
            return None if noun is None else (lemma, noun)
    return None


def _noun(tokens: Sequence[Token], place: int) -> str | None:
    """Return the noun that ends at `place`, with its suffixes but without the plural 들."""
    while place > 0 and tokens[place].tag in (*COUNTING, "SSC", "SSO"):
        place -= 1
    suffix = ""
    while place > 0 and tokens[place].tag == "XSN":
        suffix = suffix if tokens[place].form == "들" else f"{tokens[place].form}{suffix}"
        place -= 1
    return f"{tokens[place].form}{suffix}" if tokens[place].tag in NOUNS else None


def by_endings(instruction: str) -> tuple[str, str] | None:
    """Return the pair from word endings only."""
    words = instruction.split()
    for place, word in enumerate(words):
        if not _ASKS.fullmatch(word):
            continue
        at = place - 1 if _GIVE.fullmatch(word) and place else place
        verb = _HADA.sub("하다", words[at])
        verb = _ASKED.sub("", verb) if verb == words[at] else verb
        for before in reversed(words[max(0, at - NEAR) : at]):
            match = _OBJECT.fullmatch(before)
            if match and match[1] not in _COUNTERS:
                return (verb, match[1]) if verb else None
        return None
    return None
