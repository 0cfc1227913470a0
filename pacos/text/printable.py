"""Texts of rows as part of messages and of files."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with line breaks, control characters and halves of characters as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
