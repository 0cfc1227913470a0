import codecs
import json
from pathlib import Path

import pytest

from pacos.data import json_rows
from pacos.data.example import RowError
from pacos.data.json_rows import is_list, read_lines, read_list
from pacos.errors import UserError

GOOD = '{"instruction": "Sing.", "output": "라"}\n'.encode()
ROW = {"instruction": "Sing.", "output": "라"}


def reasons(path: Path) -> dict[int, str]:
    return {number: str(row) for number, row in read_lines(path) if isinstance(row, RowError)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def test_lines_keep_their_numbers(path: Path) -> None:
    path.write_bytes(GOOD + b"\n  \n" + GOOD)
    assert list(read_lines(path)) == [(1, ROW), (4, ROW)]


def test_a_byte_order_mark_is_no_part_of_a_row(path: Path) -> None:
    path.write_bytes(codecs.BOM_UTF8 + GOOD + codecs.BOM_UTF8 + GOOD)
    assert list(read_lines(path)) == [(1, ROW), (2, ROW)]
    path.write_bytes(codecs.BOM_UTF8 + b" [" + GOOD.strip() + b"]")
    assert is_list(path)
    assert list(read_list(path)) == [(1, ROW)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"instruction": "Sing."\n', "not JSON: .* column"),
        (b'{"output": "caf\xe9"}\n', "not UTF-8: byte 0xe9 in column 16; convert"),
        ('{"output": "노래"}\n'.encode("cp949"), "iconv -f CP949"),
        (b"[" * 100_000 + b"\n", "JSON that cannot be read"),
        (b'{"output": "La', "was its copy cut off"),
    ],
)
def test_a_corrupt_line_is_told_with_its_number(path: Path, line: bytes, says: str) -> None:
    path.write_bytes(GOOD + line)
    found = reasons(path)
    assert list(found) == [2]
    with pytest.raises(RowError, match=says):
        raise RowError(found[2])


def test_a_huge_line_is_told_and_the_next_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "LONGEST_LINE", 64)
    path.write_bytes(b"x" * 1000 + b"\n" + GOOD + b"y" * 64)
    rows = list(read_lines(path))
    assert rows[1] == (2, ROW)
    assert "a line of 1001 bytes" in str(rows[0][1])
    assert "a line of 64 bytes" in str(rows[2][1])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_unicode_encoding_is_refused_with_the_command_that_converts(
    path: Path, encoding: str
) -> None:
    path.write_bytes(GOOD.decode().encode(encoding))
    with pytest.raises(UserError, match=r"rows.jsonl:1: is UTF-(16|32).*iconv -f UTF"):
        list(read_lines(path))


def test_a_list_that_is_broken_is_told_with_its_line(path: Path) -> None:
    path.write_text(json.dumps([ROW, ROW], indent=1)[:-3])
    with pytest.raises(UserError, match=r"rows.jsonl:9: not a JSON list"):
        list(read_list(path))
    path.write_bytes(b'[\n{"output":\n"\xb3\xeb\xb7\xa1"}]')
    with pytest.raises(UserError, match=r"rows.jsonl:3: not UTF-8: byte 0xb3 in column 2.*CP949"):
        list(read_list(path))
