import json

from pacos.data.example import Example, RawText
from pacos.data.notices import Notices

TEXT = RawText("", "Once.")
NOTE = "ends with an unanswered turn, which is left out"


def place(number: int) -> str:
    return f"rows.jsonl:{number}"


def test_counts_of_two_processes_name_each_path_once_with_its_first_row() -> None:
    first, second = Notices(), Notices()
    for number in range(1, 1201):
        unread = ("category", "messages[].model") if number in (12, 40) else ("category",)
        notes = (NOTE,) if number == 7 else ()
        part = second if number <= 30 else first
        part.add(number, Example(TEXT, unread=unread, notes=notes))
    first.merge(Notices.from_json(json.loads(json.dumps(second.to_json()))))
    assert first.lines(place) == [
        "not read: category (1,200 rows), messages[].model (2 rows, first at rows.jsonl:12); give "
        "them a meaning with data.columns, or leave them out with "
        "'data.ignore=[category,\"messages[].model\"]'",
        f"{NOTE} (1 row, rows.jsonl:7)",
    ]


def test_many_paths_are_not_all_listed() -> None:
    notices = Notices()
    for number in range(1, 101):
        notices.add(number, Example(TEXT, unread=(f"key{number}",)))
    (line,) = notices.lines(place)
    assert "key30 (1 row, rows.jsonl:30) and 70 more; give" in line
    assert line.endswith("key29,key30,…]'")


def test_a_row_that_is_not_used_may_have_notes_about_its_source() -> None:
    notices = Notices()
    notices.add_notes(7, Example(TEXT, unread=("category",), notes=(NOTE,)))
    notices.add(8, Example(TEXT))
    assert notices.lines(place) == [f"{NOTE} (1 row)"]


def test_rows_without_notices_have_no_lines() -> None:
    notices = Notices()
    notices.add(1, Example(TEXT))
    assert notices.lines(place) == []
    assert notices.rows == 1
