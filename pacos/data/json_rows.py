"""JSON files of rows: one object per line, or one list. Errors name the line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pacos.data.example import RowError
from pacos.errors import UserError

LONGEST_LINE = 16 * 2**20
"""Bytes. A row of 131,072 tokens, the longest context of a LLaMA, has about half a million."""

Numbered = Iterator[tuple[int, Any]]
"""Pairs of a number, from 1, and a JSON value, or a RowError in place of the value."""


def is_list(path: Path) -> bool:
    """Return True if the file is one JSON list, False if it has one value per line."""
    with path.open("rb") as file:
        head = file.read(4096).removeprefix(codecs.BOM_UTF8)
    return head.lstrip().startswith(b"[")


def read_lines(path: Path) -> Numbered:
    """Yield each line that is not blank, with its number; a RowError if it is not JSON.

    Raises:
        UserError: the file is UTF-16 or UTF-32.
    """
    with path.open("rb") as file:
        _check_unicode(path, file.read(4))
        file.seek(0)
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                # Typically a whole data set on one line. Parsing it would exhaust the memory.
                size = len(line) + _skip_line(file)
                yield (
                    number,
                    RowError(
                        f"a line of {size} bytes, but a row has at most {LONGEST_LINE}; write one "
                        "row per line, or one JSON list"
                    ),
                )
            elif not line.isspace():
                yield number, _parsed(line)


def read_list(path: Path) -> Numbered:
    """Yield each element of the list, numbered from 1.

    Raises:
        UserError: the file is not a JSON list in UTF-8. The message names the line.
    """
    content = path.read_bytes()
    _check_unicode(path, content[:4])
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
        yield from enumerate(json.loads(text), start=1)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        begin = content.rfind(b"\n", 0, error.start) + 1
        rest = content[begin : begin + LONGEST_LINE].partition(b"\n")[0]
        raise UserError(f"{path}:{line}: {_decoding_problem(rest, error.start - begin)}") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not a JSON list: {error.msg} in column {error.colno}; "
            "fix the file, or write one row per line (.jsonl)"
        ) from error


def _check_unicode(path: Path, head: bytes) -> None:
    encoding = json.detect_encoding(head)
    if not encoding.startswith("utf-8"):
        name = encoding.upper()
        raise UserError(
            f"{path}:1: is {name}, but rows must be UTF-8; "
            f"convert the file: iconv -f {name} -t UTF-8 {path.name} > rows.jsonl"
        )


def _skip_line(file: IO[bytes]) -> int:
    """Read to the end of a line; return the number of bytes read."""
    skipped = 0
    while part := file.readline(LONGEST_LINE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _parsed(line: bytes) -> Any:
    # A byte order mark can start any line, if files were concatenated.
    line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        return RowError(_decoding_problem(line, error.start))
    except json.JSONDecodeError as error:
        cut = "" if line.endswith(b"\n") else "; the file ends in this line: was its copy cut off?"
        return RowError(f"not JSON: {error.msg} in column {error.colno}{cut}")
    except (ValueError, RecursionError) as error:
        return RowError(f"JSON that cannot be read: {error}")


def _decoding_problem(line: bytes, at: int) -> str:
    problem = f"not UTF-8: byte 0x{line[at]:02x} in column {at + 1}"
    try:
        # Windows' Korean code page, the usual culprit in Korean data.
        line.decode("cp949")
    except UnicodeDecodeError:
        return f"{problem}; convert the file from its encoding: iconv -f ENCODING -t UTF-8"
    return f"{problem}; it may be Korean: iconv -f CP949 -t UTF-8 converts the file"
