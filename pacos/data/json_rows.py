"""JSON files of rows: one object a line, or one list. Everything wrong is told with its line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pacos.data.rows import RowError
from pacos.errors import UserError

LONGEST_LINE = 16 * 2**20
"""Bytes. A row of 131,072 tokens, the longest that a LLaMA reads, has about half a million."""

Numbered = Iterator[tuple[int, Any]]
"""Numbers from 1, each with a JSON value, or with the RowError that stands in its place."""


def is_list(path: Path) -> bool:
    """Whether the file is one JSON list rather than one value a line."""
    with path.open("rb") as file:
        head = file.read(4096).removeprefix(codecs.BOM_UTF8)
    return head.lstrip().startswith(b"[")


def read_lines(path: Path) -> Numbered:
    """Each line that is not blank, with its number; a RowError where it is no JSON.

    Raises:
        UserError: the whole file is UTF-16 or UTF-32.
    """
    with path.open("rb") as file:
        _check_unicode(path, file.read(4))
        file.seek(0)
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                size = len(line) + _skip_line(file)
                what = f"{size} bytes in one line, where a row has at most {LONGEST_LINE}"
                yield number, RowError(f"{what}; write one row a line, or one JSON list")
            elif not line.isspace():
                yield number, _parsed(line)


def read_list(path: Path) -> Numbered:
    """Each element of the list, numbered from 1.

    Raises:
        UserError: the file is no JSON list in UTF-8; the line is named.
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
            "mend the file, or write one row a line (.jsonl)"
        ) from error


def _check_unicode(path: Path, head: bytes) -> None:
    encoding = json.detect_encoding(head)
    if not encoding.startswith("utf-8"):
        name = encoding.upper()
        raise UserError(
            f"{path}:1: is {name}, and rows are read as UTF-8; "
            f"convert it: iconv -f {name} -t UTF-8 {path.name} > rows.jsonl"
        )


def _skip_line(file: IO[bytes]) -> int:
    """Read to the end of a line; returns the bytes that it took."""
    skipped = 0
    while part := file.readline(LONGEST_LINE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _parsed(line: bytes) -> Any:
    # A mark of byte order may stand at any line: where files were joined.
    line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        return RowError(_decoding_problem(line, error.start))
    except json.JSONDecodeError as error:
        cut = "" if line.endswith(b"\n") else "; the file ends in this line: was its copy cut off?"
        return RowError(f"not JSON: {error.msg} in column {error.colno}{cut}")
    except (ValueError, RecursionError) as error:
        return RowError(f"not JSON that can be read: {error}")


def _decoding_problem(line: bytes, at: int) -> str:
    found = f"not UTF-8: byte 0x{line[at]:02x} in column {at + 1}"
    try:
        line.decode("cp949")
    except UnicodeDecodeError:
        return f"{found}; convert the file from its encoding: iconv -f ENCODING -t UTF-8"
    return f"{found}; it may be Korean: iconv -f CP949 -t UTF-8 converts the file"
