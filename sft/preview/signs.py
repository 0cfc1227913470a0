"""Tokens as text, with a sign in place of whatever cannot be seen."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum

from pacos.model.protocols import Tokenizer

INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
"""Unicode categories without a visible form. Among them are escape sequences of terminals and marks
that reverse the direction of text, which must not reach a terminal or a page."""

SIGNS = {"\n": "↵\n", "\t": "⇥\t", "\r": "␍"}
"""A line break still breaks the line, so that the shape of the text is seen."""

MARKS = frozenset("⟦⟧⟨⟩")
"""Brackets that mark tokens in plain output; in a text they would be taken for marks."""


class Kind(Enum):
    """The relation of a shown text to its token."""

    text = "text"
    special = "special"
    """The name of a special token, as opposed to text that looks like one."""
    sign = "sign"
    """Stands for something that cannot be shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a token's text."""

    text: str
    kind: Kind = Kind.text


class TokenText:
    """The readable text of tokens. Each is decoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        self._special = {token: entry.content for token, entry in added.items() if entry.special}
        self._known: dict[tuple[int, ...], tuple[Part, ...]] = {}

    def parts(self, ids: tuple[int, ...]) -> tuple[Part, ...]:
        """Return the text of tokens; nothing if they hold a part of a character."""
        if ids not in self._known:
            self._known[ids] = self._parts(ids)
        return self._known[ids]

    def _parts(self, ids: tuple[int, ...]) -> tuple[Part, ...]:
        if len(ids) == 1 and ids[0] in self._special:
            return (Part(self._special[ids[0]], Kind.special),)
        text = self._decode(ids)
        return () if "\N{REPLACEMENT CHARACTER}" in text else readable(text)

    def name(self, token: int) -> tuple[Part, ...]:
        """Return a token by its name in the vocabulary, for one that is no text by itself."""
        name = self._tokenizer.convert_ids_to_tokens(token)
        return (Part(f"‹{sanitized(name)}›", Kind.sign),)

    def _decode(self, ids: tuple[int, ...]) -> str:
        # Twice in a row: SentencePiece tokenizers strip the space before the first token of a text.
        once, twice = (
            self._tokenizer.decode([*ids] * times, clean_up_tokenization_spaces=False)
            for times in (1, 2)
        )
        return twice[len(once) :] if twice.startswith(once) else once


def readable(text: str) -> tuple[Part, ...]:
    """Split a text into what can be seen as it is and signs for the rest."""
    parts: list[Part] = []
    for character in text:
        sign = _sign(character)
        if sign is not None:
            parts.append(Part(sign, Kind.sign))
        elif parts and parts[-1].kind is Kind.text:
            parts[-1] = Part(parts[-1].text + character)
        else:
            parts.append(Part(character))
    return tuple(parts)


def sanitized(text: str) -> str:
    """Return a text that is safe to print, such as a message that quotes a row."""
    return "".join(part.text for part in readable(text))


def _sign(character: str) -> str | None:
    if character in SIGNS:
        return SIGNS[character]
    is_hidden = unicodedata.category(character) in INVISIBLE and character != " "
    return f"‹U+{ord(character):04X}›" if is_hidden or character in MARKS else None
