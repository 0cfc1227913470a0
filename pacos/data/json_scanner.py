"""A parser of large JSON lists and objects that holds one element at a time."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pacos.data.encoding import check_utf8
from pacos.errors import UserError

BLOCK_BYTES = 2**19
"""Bytes read at a time."""

SPACE = " \t\n\r"


class JsonScanner:
    """Reads one JSON value from a file, piece by piece."""

    def __init__(self, path: Path, file: IO[bytes], longest: int) -> None:
        """Begin at the start of a file.

        Args:
            path: for messages.
            file: the bytes, in UTF-8.
            longest: characters of the longest element; a longer one is refused as unterminated.
        """
        self._path = path
        self._file = file
        self._longest = longest
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._lines = 0
        """Line breaks before the text in the buffer."""
        self._is_at_end = False

    def _read_on(self) -> bool:
        """Read another block, and forget what was consumed; return False at the end of the file."""
        if self._is_at_end:
            return False
        block = self._file.read(BLOCK_BYTES)
        self._is_at_end = not block
        self._lines += self._text.count("\n", 0, self._at)
        try:
            self._text = self._text[self._at :] + self._decode(block, final=self._is_at_end)
        except UnicodeDecodeError:
            # Positions in the buffer are not those in the file: read it again to name the line.
            check_utf8(self._path)
            raise
        self._at = 0
        return not self._is_at_end

    def peek(self) -> str:
        """Return the next character that is not space, without consuming it; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def _expect(self, characters: str) -> str:
        character = self.peek()
        if not character or character not in characters:
            names = " or ".join(repr(expected) for expected in characters)
            raise self._error(self._at, f"Expecting {names}")
        self._at += 1
        return character

    def value(self) -> Any:
        """Parse and return the next value."""
        return self._value_and_text()[0]

    def _value_and_text(self) -> tuple[Any, str]:
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # The value may only be cut off by the end of the buffer.
                if len(self._text) - self._at < self._longest and self._read_on():
                    continue
                raise self._error(error.pos, error.msg) from error
            except RecursionError as error:
                raise self._error(self._at, "Too deeply nested") from error
            # A number at the end of the buffer may go on.
            if end == len(self._text) and self._read_on():
                continue
            text = self._text[self._at : end]
            self._at = end
            return value, text

    def value_text(self) -> str:
        """Parse the next value and return its text."""
        return self._value_and_text()[1]

    def object_keys(self) -> Iterator[str]:
        """Yield each key of an object; consume its value before asking for the next."""
        self._expect("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._error(self._at, "Expecting a key in double quotes")
            self._expect(":")
            yield key
            if self._expect(",}") == "}":
                return

    def elements(self) -> Iterator[Any]:
        """Yield each element of a list."""
        for value, _ in self._elements():
            yield value

    def element_texts(self, size: int) -> Iterator[tuple[int, str]]:
        """Yield the elements of a list in pieces: their number, and their text with the commas.

        Args:
            size: characters of a piece, approximately.
        """
        texts: list[str] = []
        length = 0
        for _, text in self._elements():
            texts.append(text)
            length += len(text)
            if length >= size:
                yield len(texts), ",".join(texts)
                texts, length = [], 0
        if texts:
            yield len(texts), ",".join(texts)

    def _elements(self) -> Iterator[tuple[Any, str]]:
        self._expect("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self._value_and_text()
            if self._expect(",]") == "]":
                return

    def end(self) -> None:
        """Refuse anything but space after the value."""
        if self.peek():
            raise self._error(self._at, "Extra data")

    def _error(self, at: int, message: str) -> UserError:
        line = self._lines + self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        return UserError(
            f"{self._path}:{line}: not a JSON list or object: {message} in column {column}; "
            "fix the file, or write one row per line (.jsonl)"
        )
