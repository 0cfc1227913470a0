import json
import pickle

import pytest

from pacos.data.example import RowError
from pacos.data.rows import RowReader
from pacos.data.source_config import SourceConfig
from tests.pacos.data.cases import HI, Case, Read
from tests.pacos.data.matrix import CASES


def reader(**options: object) -> RowReader:
    return RowReader.of(SourceConfig(path="rows.jsonl", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_row_is_read_as_meant_or_refused(case: Case) -> None:
    before = json.dumps(case.row)
    rows = reader(**case.options)
    if isinstance(case.expect, Read):
        example = rows.read(case.row, filled=case.filled)
        assert example.content == case.expect.content
        assert (example.unread, example.notes) == (case.expect.unread, case.expect.notes)
    else:
        with pytest.raises(RowError) as refused:
            rows.read(case.row, filled=case.filled)
        message = str(refused.value)
        assert case.expect.says in message
        assert case.expect.remedy in message.split(case.expect.says)[1]
        # The place, its value and the fault; then the remedy.
        assert " = " in message.partition(": ")[0]
        assert "; " in message
    # A row may be read again, for a preview.
    assert json.dumps(case.row) == before


def test_the_matrix_names_each_case_once() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 90


def test_one_reader_reads_rows_of_all_schemas() -> None:
    rows = reader()
    for _ in range(2):
        for case in CASES:
            if isinstance(case.expect, Read) and not case.options:
                content = rows.read(case.row, filled=case.filled).content
                assert content == case.expect.content, case.id


def test_worker_processes_get_the_reader() -> None:
    rows = reader(columns={"frage": "question"}, roles={"bot": "assistant"})
    row = {"frage": "Hello", "answer": "Hi"}
    first = rows.read(row, filled=False)
    assert pickle.loads(pickle.dumps(rows)).read(row, filled=False) == first


def test_id_and_terms_come_along() -> None:
    row = {"instruction": "a", "output": "b", "id": 7, "lineage": {"terms": "CC0-1.0"}}
    example = reader().read(row, filled=False)
    assert (example.id, example.terms) == ("7", "CC0-1.0")
    assert reader().read({"messages": list(HI), "prompt_id": "f0"}, filled=False).id == "f0"


@pytest.mark.parametrize(
    ("lineage", "terms"),
    [
        ({"terms": "mit"}, "mit"),
        # As in the Parquet files of pacos selfinstruct.
        ('{"lang": "en", "terms": "mit"}', "mit"),
        ("from the web", None),
        ("[1]", None),
        ({"terms": ["mit"]}, None),
        ({"terms": None}, None),
        ({}, None),
    ],
)
def test_terms_are_a_text_in_the_lineage(lineage: object, terms: str | None) -> None:
    row = {"instruction": "a", "output": "b", "lineage": lineage}
    assert reader().read(row, filled=False).terms == terms


def test_rows_with_ever_new_columns_are_read_in_bounded_memory() -> None:
    rows = reader()
    for number in range(1200):
        row = {"instruction": "a", "output": "b", f"column {number}": 1}
        assert rows.read(row, filled=False).unread == (f"column {number}",)
    assert len(rows._plans) <= 1000
