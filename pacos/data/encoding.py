"""Checks of the encoding of text files, and of what JSON text may hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pacos.data.compressed import open_bytes
from pacos.errors import UserError

LINE_BYTES = 2**24
"""Longest line to look at in one piece."""


class RepeatedKeyError(ValueError):
    """An object in JSON text that has a key twice. Parsers keep the last value without a word."""


def object_of_pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON text; raise RepeatedKeyError if it has a key twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKeyError(f"an object has two keys {json.dumps(repeated)}; keep one of them")
    return value


class WrittenFloat(float):
    """A number whose shortest form is not the text of the file: 2.50, or more digits than fit."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> WrittenFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def _float(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else WrittenFloat(text)


# Built once: json.loads with a hook would build a decoder for each row, twice the time of a row.
ROW_DECODER = json.JSONDecoder(object_pairs_hook=object_of_pairs, parse_float=_float)
"""Parses JSON; a repeated key raises RepeatedKeyError."""


def check_unicode(path: Path, head: bytes) -> None:
    """Refuse UTF-16 and UTF-32, by the first four bytes of a file."""
    encoding = json.detect_encoding(head)
    if not encoding.startswith("utf-8"):
        name = encoding.upper()
        target = f"utf8-{path.name}"
        raise UserError(
            f"{path}:1: is {name}, but rows must be UTF-8; "
            f"convert the file: iconv -f {name} -t UTF-8 {path.name} > {target}"
        )


def decoding_problem(line: bytes, at: int) -> str:
    """Return a message about the byte of a line that is not UTF-8."""
    problem = f"not UTF-8: byte 0x{line[at]:02x} in column {at + 1}"
    try:
        # Windows' Korean code page, the usual culprit in Korean data.
        line.decode("cp949")
    except UnicodeDecodeError:
        return f"{problem}; convert the file from its encoding: iconv -f ENCODING -t UTF-8"
    return f"{problem}; it may be Korean: iconv -f CP949 -t UTF-8 converts the file"


def check_utf8(path: Path) -> None:
    """Read a whole file and refuse it, naming the line, unless it is UTF-8.

    Raises:
        UserError: it is not.
    """
    number = 0
    with open_bytes(path) as file:
        while line := file.readline(LINE_BYTES):
            number += 1
            try:
                line.decode()
            except UnicodeDecodeError as error:
                problem = decoding_problem(line, error.start)
                raise UserError(f"{path}:{number}: {problem}") from error
