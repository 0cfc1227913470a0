"""JSON text as rows: one object per line, a list of objects, or an object around such a list.

JSON is read by this reader rather than by the `datasets` library, whose JSON builder infers one
schema for all rows: it fills objects with null, turns texts that look like dates into timestamps,
and reorders keys, none of which the arguments of a tool call survive.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Any

from pacos.data.chunk import Chunk, ElementChunk, Numbered, Records
from pacos.data.compressed import open_bytes
from pacos.data.encoding import ROW_DECODER, RepeatedKeyError, check_unicode, decoding_problem
from pacos.data.example import RowError
from pacos.data.json_scanner import JsonScanner
from pacos.errors import UserError

CHUNK_BYTES = 2**19
"""Bytes per chunk: about 1,200 rows of Alpaca, a third of a second of tokenization."""

LONGEST_LINE = 16 * 2**20
"""Bytes. A row of 131,072 tokens, the longest context of a LLaMA, has about half a million."""


class Form(Enum):
    """The arrangement of rows in a JSON file."""

    lines = "lines"
    elements = "elements"
    single = "single"
    """One object that is one row."""


@dataclass(frozen=True, slots=True)
class JsonForm:
    """The arrangement of rows in a JSON file, with the key of an object around a list."""

    form: Form
    key: str | None = None
    """Key of the list of rows."""
    others: tuple[str, ...] = ()
    """Keys beside it."""


@dataclass(frozen=True, slots=True)
class LineChunk:
    """Consecutive lines of a file, each a JSON value."""

    first: int
    """Number of the first line."""
    data: bytes
    filled: bool = False

    def records(self) -> Numbered:
        lines = self.data.split(b"\n")
        last = len(lines) - 1
        for index, line in enumerate(lines):
            if not line or line.isspace():
                continue
            if len(line) >= LONGEST_LINE:
                yield self.first + index, _too_long(len(line) + (index < last))
            else:
                yield self.first + index, _parsed(line, is_complete=index < last)

    def count(self) -> int:
        return sum(1 for line in self.data.split(b"\n") if line and not line.isspace())


def json_form(path: Path) -> JsonForm:
    """Return the arrangement of rows in a file.

    Raises:
        UserError: the file is an object in which it is not clear which list holds the rows, or has
            more behind an object around a list.
    """
    with open_bytes(path) as file:
        head = file.read(4096)
        check_unicode(path, head[:4])
        start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        if start == b"[":
            return JsonForm(Form.elements)
        # Only `.json` promises a single value; elsewhere an object is the row of a line.
        if start != b"{" or ".json" not in path.suffixes:
            return JsonForm(Form.lines)
        while b"\n" not in head.strip() and len(head) < LONGEST_LINE:
            block = file.read(CHUNK_BYTES)
            if not block:
                break
            head += block
    first, newline, rest = head.removeprefix(codecs.BOM_UTF8).strip().partition(b"\n")
    if newline and rest and first.rstrip().endswith(b"}"):
        return JsonForm(Form.lines)
    return _object_form(path)


def _object_form(path: Path) -> JsonForm:
    """Return the form of a file that is one object. Its values are parsed one by one, for size."""
    lists: list[str] = []
    keys: list[str] = []
    has_turns = False
    with open_bytes(path) as file:
        scanner = JsonScanner(path, file, LONGEST_LINE)
        for key in scanner.object_keys():
            keys.append(key)
            if scanner.peek() != "[":
                scanner.value()
                continue
            first = None
            for number, element in enumerate(scanner.elements()):
                first = element if number == 0 else first
            if isinstance(first, dict):
                is_turn = {"role", "from"} & set(first) and {"content", "value"} & set(first)
                has_turns = has_turns or bool(is_turn)
                lists.append(key)
        scanner.end()
    if len(lists) == 1 and not has_turns:
        others = tuple(key for key in keys if key != lists[0])
        return JsonForm(Form.elements, lists[0], others)
    if len(lists) > 1 and not has_turns:
        raise UserError(
            f"{path}: is one object with several lists of rows: {', '.join(lists)}; write each "
            "into a file of its own"
        )
    return JsonForm(Form.single)


def json_chunks(path: Path, form: JsonForm, base: int = 0) -> Iterator[Chunk]:
    """Yield the rows of a file in chunks.

    Args:
        path: the file.
        form: from `json_form`.
        base: added to the numbers of lines or elements.

    Raises:
        UserError: the file as a whole cannot be read.
    """
    if form.form is Form.lines:
        return _line_chunks(path, base)
    return _element_chunks(path, form, base)


def _line_chunks(path: Path, base: int) -> Iterator[Chunk]:
    with open_bytes(path) as file:
        number, rest = 1, b""
        is_first = True
        while block := file.read(CHUNK_BYTES):
            if is_first:
                check_unicode(path, block[:4])
                is_first = False
            rest += block
            end = rest.rfind(b"\n") + 1
            if end:
                yield LineChunk(base + number, rest[:end])
                number += rest.count(b"\n", 0, end)
                rest = rest[end:]
            elif len(rest) > LONGEST_LINE:
                # Typically a whole data set on one line. Parsing it would exhaust the memory.
                size, rest = _skip_line(file, len(rest))
                yield Records([(base + number, _too_long(size))])
                number += 1
        if rest:
            yield LineChunk(base + number, rest)


def _skip_line(file: IO[bytes], size: int) -> tuple[int, bytes]:
    """Read to the end of a line; return its bytes, of which `size` were read, and what follows."""
    while block := file.read(CHUNK_BYTES):
        end = block.find(b"\n") + 1
        if end:
            return size + end, block[end:]
        size += len(block)
    return size, b""


def _element_chunks(path: Path, form: JsonForm, base: int) -> Iterator[Chunk]:
    with open_bytes(path) as file:
        scanner = JsonScanner(path, file, LONGEST_LINE)
        number = base + 1
        if form.form is Form.single:
            yield ElementChunk(number, 1, scanner.value_text())
            scanner.end()
            return
        if form.key is not None:
            # Values of the keys before it are skipped, and those behind it were parsed before.
            for key in scanner.object_keys():
                if key == form.key:
                    break
                scanner.value()
        for rows, text in scanner.element_texts(CHUNK_BYTES):
            yield ElementChunk(number, rows, text)
            number += rows
        if form.key is None:
            scanner.end()


def _too_long(size: int) -> RowError:
    return RowError(
        f"a line of {size} bytes, but a row has at most {LONGEST_LINE}; write one row per line, or "
        "one JSON list"
    )


def _parsed(line: bytes, is_complete: bool) -> Any:
    # A byte order mark can start any line, if files were concatenated.
    line = line.removeprefix(codecs.BOM_UTF8)
    try:
        text = line.decode()
        if text[:1] != "{":
            return ROW_DECODER.decode(text)
        # `decode` would look for blanks around the value, for a seventh of the time of a row.
        value, end = ROW_DECODER.raw_decode(text)
        if end < len(text) and (rest := text[end:].lstrip(" \t\r")):
            raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
        return value
    except UnicodeDecodeError as error:
        return RowError(decoding_problem(line, error.start))
    except json.JSONDecodeError as error:
        remedy = "write each row as JSON on a line of its own"
        if not is_complete and error.msg != "Extra data":
            remedy = "the file ends in this line: was its copy cut off?"
        fault = error.msg.removesuffix(" at")
        return RowError(f"not JSON: {fault} in column {error.colno}; {remedy}")
    except RepeatedKeyError as error:
        return RowError(str(error))
    except (ValueError, RecursionError) as error:
        return RowError(f"JSON that cannot be read: {error}; remove the row")
