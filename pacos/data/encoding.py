"""Checks of the encoding of text files."""

from __future__ import annotations

import json
from pathlib import Path

from pacos.data.compressed import open_bytes
from pacos.errors import UserError

LINE_BYTES = 2**24
"""Longest line to look at in one piece."""


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
