import codecs
import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from pacos.data import json_rows, json_scanner
from pacos.data.example import RowError
from pacos.data.json_rows import Form, json_chunks, json_form
from pacos.data.reading.fields import text_of
from pacos.errors import UserError

GOOD = '{"instruction": "Sing.", "output": "라"}\n'.encode()
ROW = {"instruction": "Sing.", "output": "라"}


def read(path: Path) -> list[tuple[int, Any]]:
    chunks = json_chunks(path, json_form(path))
    return [record for chunk in chunks for record in chunk.records()]


def reasons(path: Path) -> dict[int, str]:
    return {number: str(row) for number, row in read(path) if isinstance(row, RowError)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def test_lines_keep_their_numbers(path: Path) -> None:
    path.write_bytes(GOOD + b"\n  \n" + GOOD.strip() + b" \r\n \t" + GOOD)
    assert read(path) == [(1, ROW), (4, ROW), (5, ROW)]


def test_a_byte_order_mark_is_no_part_of_a_row(path: Path) -> None:
    path.write_bytes(codecs.BOM_UTF8 + GOOD + codecs.BOM_UTF8 + GOOD)
    assert read(path) == [(1, ROW), (2, ROW)]
    path.write_bytes(codecs.BOM_UTF8 + b" [" + GOOD.strip() + b"]")
    assert json_form(path).form is Form.elements
    assert read(path) == [(1, ROW)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"instruction": "Sing."\n', "not JSON: .* column 24; write each row as JSON on a line"),
        (b'{"output": "caf\xe9"}\n', "not UTF-8: byte 0xe9 in column 16; convert"),
        ('{"output": "노래"}\n'.encode("cp949"), "iconv -f CP949"),
        (b"[" * 100_000 + b"\n", "JSON that cannot be read"),
        (b'{"output": "La', "was its copy cut off"),
        (b'{"output": "La"} {"output": "Li"}', "Extra data in column 18; write each row"),
        (codecs.BOM_UTF8 + b"\n", "not JSON: Expecting value in column 1"),
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
    rows = read(path)
    assert rows[1] == (2, ROW)
    assert "a line of 1001 bytes" in str(rows[0][1])
    assert "a line of 64 bytes" in str(rows[2][1])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_unicode_encoding_is_refused_with_the_command_that_converts(
    path: Path, encoding: str
) -> None:
    path.write_bytes(GOOD.decode().encode(encoding))
    with pytest.raises(UserError, match=r"rows.jsonl:1: is UTF-(16|32).*iconv -f UTF"):
        read(path)


def test_a_list_that_is_broken_is_told_with_its_line(path: Path) -> None:
    path.write_text(json.dumps([ROW, ROW], indent=1)[:-3])
    with pytest.raises(UserError, match=r"rows.jsonl:9: not a JSON list"):
        read(path)
    path.write_bytes(b'[\n{"output":\n"\xb3\xeb\xb7\xa1"}]')
    with pytest.raises(UserError, match=r"rows.jsonl:3: not UTF-8: byte 0xb3 in column 2.*CP949"):
        read(path)


def test_chunks_end_with_lines_and_give_the_same_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"instruction": "노래 " * (n % 9), "output": f"{n}\\u2028"} for n in range(100)]
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=n % 2 == 1) + "\n" for n, row in enumerate(rows))
    )
    as_list = path.with_name("list.json")
    as_list.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    around = path.with_name("around.json")
    around.write_text(json.dumps({"a": [1, 2], "rows": rows, "b": {"c": 1}}, indent=1))
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", 100)
    monkeypatch.setattr(json_scanner, "BLOCK_BYTES", 97)
    for file in (path, as_list, around):
        chunks = list(json_chunks(file, json_form(file), base=7000))
        assert len(chunks) > 20
        assert sum(chunk.count() for chunk in chunks) == 100
        assert all(not chunk.filled for chunk in chunks)
        records = [
            record for chunk in pickle.loads(pickle.dumps(chunks)) for record in chunk.records()
        ]
        assert records == list(enumerate(rows, start=7001))


def test_keys_beside_the_list_of_rows_are_known(path: Path) -> None:
    file = path.with_suffix(".json")
    file.write_text(json.dumps({"version": 1, "data": [ROW], "empty": []}))
    form = json_form(file)
    assert (form.form, form.key, form.others) == (Form.elements, "data", ("version", "empty"))
    assert read(file) == [(1, ROW)]


@pytest.mark.parametrize("indent", [None, 1])
def test_one_object_may_be_one_row(path: Path, indent: int | None) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    for row in (ROW, {"messages": turns, "tools": [{"type": "function"}]}):
        file = path.with_suffix(".json")
        file.write_text(json.dumps(row, indent=indent))
        assert read(file) == [(1, row)]


def test_several_lists_of_rows_are_refused_by_name(path: Path) -> None:
    file = path.with_suffix(".json")
    file.write_text(json.dumps({"train": [ROW], "test": [ROW]}))
    with pytest.raises(UserError, match="several lists of rows: train, test"):
        read(file)


TWICE = '{"instruction": "Sing.", "output": "a", "output": "b"}'
NESTED = '{"messages": [{"role": "user", "content": "a", "content": "b"}]}'


@pytest.mark.parametrize("text", [TWICE, NESTED])
def test_a_key_that_stands_twice_is_told_with_its_row(path: Path, text: str) -> None:
    """Parsers of JSON keep the last value without a word."""
    good, file = json.dumps(ROW), path.with_suffix(".json")
    path.write_text(f"{good}\n{text}\n{good}\n")
    for content in (f"[{good}, {text},\n {good}]", f'{{"rows": [{good}, {text}, {good}]}}'):
        file.write_text(content)
        for rows in (read(path), read(file)):
            (_, first), (number, error), (_, last) = rows
            assert first == last == ROW
            assert number == 2
            assert isinstance(error, RowError)
            assert re.fullmatch(r'an object has two keys "\w+"; keep one of them', str(error))
    file.write_text(text)
    assert list(reasons(file)) == [1]


def test_numbers_keep_their_text(path: Path) -> None:
    path.write_text('{"question": "Price?", "answer": 2.50, "n": [1.5, 3.14159265358979323846]}\n')
    ((_, row),) = pickle.loads(pickle.dumps(read(path)))
    assert row == {"question": "Price?", "answer": 2.5, "n": [1.5, math.pi]}
    assert [text_of(row["answer"], ""), *(text_of(n, "") for n in row["n"])] == [
        "2.50",
        "1.5",
        "3.14159265358979323846",
    ]


def test_values_keep_what_a_schema_would_change(path: Path) -> None:
    rows = [
        {"arguments": {"a": "2024-01-01", "b": 1}},
        {"arguments": {"z": 1.0, "a": ["1", 2, None]}},
        {"arguments": '{"b":1,  "a":2}'},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [json.dumps(row) for _, row in read(path)] == [json.dumps(row) for row in rows]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"data": [{"a": 1}, {"a"', ":1: not a JSON list or object"),
        ('{\n"data": [\n{"a": 1}\n{"a": 2}]}', ":4: not a JSON list or object: Expecting ',' or"),
        (
            '{"data": [\n{"a": 1}]} {"data": []}',
            ":2: not a JSON list or object: Extra data",
        ),
        ('[{"a": 1}]\n]', ":2: not a JSON list or object: Extra data"),
        ('[{"a": ' + "[" * 100_000, "nested"),
    ],
)
def test_a_broken_value_is_told_with_its_line(path: Path, text: str, says: str) -> None:
    file = path.with_suffix(".json")
    file.write_text(text)
    with pytest.raises(UserError, match=re.escape(says)):
        read(file)
