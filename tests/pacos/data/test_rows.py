import functools
import itertools
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pacos.data.example import Conversation, RowError
from pacos.data.rows import RowReader
from pacos.data.source_config import SourceConfig
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.prompts.presence import left_out
from pacos.prompts.rendering import ChatTemplate, marked
from pacos.prompts.restrictions import check_only_text
from pacos.prompts.tokens import IGNORE, EncodedRow
from tests.pacos.data.cases import HI, Case, Read, Refused
from tests.pacos.data.matrix import CASES

ACCEPTED = [case for case in CASES if isinstance(case.expect, Read)]


@pytest.fixture(scope="module")
def encoder(tokenizer: Any) -> Callable[..., Encoder]:
    """Encoders with SmolLM2's tokenizer, each made once: that takes 0.3 s."""

    @functools.cache
    def of(*, prompt_format: PromptFormat = PromptFormat.chatml, **options: bool) -> Encoder:
        return Encoder.of(tokenizer, prompt_format, **options)

    return of


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


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
def test_every_row_that_is_read_trains_exactly_the_text_meant(
    case: Case, encoder: Callable[..., Encoder], tokenizer: Any
) -> None:
    assert isinstance(case.expect, Read)
    content = reader(**case.options).read(case.row, filled=case.filled).content
    (row,) = encoder(**case.encoding).encode([content])
    learnt = case.expect.learnt
    if isinstance(learnt, Refused):
        assert isinstance(row, RowError)
        assert learnt.says in str(row)
        assert learnt.remedy in str(row).split(learnt.says)[1]
        return
    assert not isinstance(row, RowError), row
    (example,) = row
    assert learnt
    assert learnt_texts(tokenizer, example) == [*learnt]
    # What has no loss is still context: no turn is missing.
    if isinstance(content, Conversation):
        text = tokenizer.decode(example.ids)
        for turn in content.turns:
            assert all(turn.get(key, "") in text for key in ("content", "input"))


@pytest.mark.parametrize("prompt_format", PromptFormat)
def test_no_format_leaves_anything_of_a_conversation_out(prompt_format: PromptFormat) -> None:
    form = FORMATS[prompt_format]
    template = ChatTemplate(form.template, {"bos_token": "<s>", "eos_token": "</s>"})
    written = 0
    for case in ACCEPTED:
        assert isinstance(case.expect, Read)
        content = case.expect.content
        if not isinstance(content, Conversation):
            continue
        answers = [n for n, turn in enumerate(content.turns) if turn["role"] == "assistant"]
        try:
            if form.only_text:
                check_only_text(content, prompt_format)
            renderings = marked(template, content.turns, content.tools, answers)
        except RowError:
            continue
        assert left_out(content.turns, content.tools, renderings) is None, case.id
        written += 1
    assert written > 60


def learnt_texts(tokenizer: Any, row: EncodedRow) -> list[str]:
    """Return the text of each run of tokens with a loss."""
    return [
        tokenizer.decode([*run])
        for has_loss, run in itertools.groupby(row.labels, lambda label: label != IGNORE)
        if has_loss
    ]


def test_the_matrix_names_each_case_once() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 200
    assert len(ACCEPTED) >= 120


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


def test_half_a_character_in_names_reaches_no_message() -> None:
    """Neither a terminal nor a file in UTF-8 could take it."""
    row = {"instruction": "a", "output": "b", "\ud83d\n": 1, "id": "\ud83d"}
    example = reader().read(row, filled=False)
    assert (example.unread, example.id) == (("\\ud83d\\n",), "\\ud83d")
    for broken in ({"\ud83d": 1}, {"messages": [{"role": "\ud83d", "content": "a"}]}):
        with pytest.raises(RowError) as refused:
            reader().read(broken, filled=False)
        assert "\\ud83d" in str(refused.value).encode().decode()


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
