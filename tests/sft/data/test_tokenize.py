"""From chunks of records to arrays of tokens, and what happens to rows that are too long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tokenizers
from transformers import PreTrainedTokenizerFast

from pacos.data.chunk import Chunk, Records
from pacos.data.example import Conversation
from pacos.data.json_rows import LineChunk
from pacos.data.reading.conversation import UNANSWERED
from pacos.data.rows import RowReader
from pacos.data.source_config import SourceConfig
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import Reason
from sft.configs.data import TooLong
from sft.data.tokenize import UNKNOWN, ChunkTokenizer, TokenizedChunk, tokenize_all
from tests.sft.byte_tokenizer import byte_tokenizer

EXCHANGE = [
    {"role": "user", "content": "Name a colour."},
    {"role": "assistant", "content": "Red, as in the flag."},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def encoder(tokenizer: Any) -> Encoder:
    return Encoder.of(tokenizer, PromptFormat.chatml)


def chunks_of(encoder: Encoder, max_length: int, policy: TooLong) -> ChunkTokenizer:
    return ChunkTokenizer(RowReader.of(SourceConfig(path="")), encoder, max_length, policy)


def tokenized(
    encoder: Encoder, max_length: int, policy: TooLong, *conversations: Any
) -> TokenizedChunk:
    records = [(n, {"messages": turns}) for n, turns in enumerate(conversations, start=1)]
    return chunks_of(encoder, max_length, policy).tokenize(Records(records))


def tokens_of(encoder: Encoder, turns: Any) -> int:
    ((row,),) = encoder.encode([Conversation(turns)])
    return len(row.ids)


def supervised(tokenizer: Any, chunk: TokenizedChunk) -> str:
    text: str = tokenizer.decode(chunk.arrays["ids"][chunk.arrays["reasons"] == Reason.trained])
    return text


def test_a_row_that_fits_is_whole(encoder: Encoder) -> None:
    length = tokens_of(encoder, EXCHANGE)
    chunk = tokenized(encoder, length, TooLong.drop, EXCHANGE)
    assert chunk.arrays["lengths"].tolist() == [length]
    assert chunk.arrays["counts"][0] == (chunk.arrays["reasons"] == Reason.trained).sum()
    assert chunk.long == []
    assert (chunk.totals.rows, chunk.totals.tokens, chunk.totals.kept_tokens) == (1, length, length)


@pytest.mark.parametrize("policy", [TooLong.drop, TooLong.cut_turns, TooLong.error])
def test_an_answer_is_never_cut(encoder: Encoder, policy: TooLong) -> None:
    length = tokens_of(encoder, EXCHANGE)
    chunk = tokenized(encoder, length - 1, policy, EXCHANGE)
    assert not len(chunk.arrays["ids"])
    (long,) = chunk.long
    assert (long.number, long.reason) == (1, f"{length} tokens: left out")
    assert (chunk.totals.long_rows, chunk.totals.kept_tokens) == (1, 0)


def test_truncate_cuts_the_end_off(tokenizer: Any, encoder: Encoder) -> None:
    length = tokens_of(encoder, EXCHANGE)
    whole = tokenized(encoder, length, TooLong.truncate, EXCHANGE)
    cut = tokenized(encoder, length - 9, TooLong.truncate, EXCHANGE)
    assert cut.arrays["ids"].tolist() == whole.arrays["ids"][: length - 9].tolist()
    assert cut.arrays["reasons"].tolist() == whole.arrays["reasons"][: length - 9].tolist()
    assert "Red, as in the flag.<|im_end|>".startswith(supervised(tokenizer, cut))
    assert cut.long[0].reason == f"{length} tokens: truncated"


def test_truncate_drops_a_row_of_which_nothing_is_supervised(encoder: Encoder) -> None:
    chunk = tokenized(encoder, 10, TooLong.truncate, EXCHANGE)
    assert not len(chunk.arrays["ids"])
    assert "left out, with no supervised token among the first 10" in chunk.long[0].reason


def test_cut_turns_leaves_out_as_few_of_the_last_exchanges_as_it_must(
    tokenizer: Any, encoder: Encoder
) -> None:
    conversation = [{"role": "system", "content": "Be brief."}, *EXCHANGE * 5]
    room = tokens_of(encoder, conversation[: 1 + 2 * 3])
    chunk = tokenized(encoder, room, TooLong.cut_turns, conversation)
    assert "the last 2 of 5 exchanges left out" in chunk.long[0].reason
    assert supervised(tokenizer, chunk) == "Red, as in the flag.<|im_end|>" * 3


def test_cut_turns_keeps_calls_with_their_results(tokenizer: Any, encoder: Encoder) -> None:
    call = {"function": {"name": "look", "arguments": "{}"}, "type": "function"}
    tools = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "red"},
        {"role": "assistant", "content": "Red."},
    ]
    room = tokens_of(encoder, [*EXCHANGE, *tools]) - 1
    chunk = tokenized(encoder, room, TooLong.cut_turns, [*EXCHANGE, *tools])
    assert "the last 1 of 2 exchanges left out" in chunk.long[0].reason
    assert supervised(tokenizer, chunk) == "Red, as in the flag.<|im_end|>"


class ByAnswer(Encoder):
    """Encodes each answer of a conversation as an example of its own, as for Qwen 3."""

    def encode(self, contents: Any) -> Any:
        results = []
        for content in contents:
            ends = [n for n, turn in enumerate(content.turns, 1) if turn["role"] == "assistant"]
            parts = [Conversation(content.turns[:end]) for end in ends]
            results.append([row for (row,) in super().encode(parts)])
        return results


def test_a_record_may_have_several_rows(encoder: Encoder) -> None:
    fields = {name: getattr(encoder, name) for name in encoder.__dataclass_fields__}
    by_answer = ByAnswer(**fields)
    lengths = [tokens_of(encoder, EXCHANGE * n) for n in (1, 2, 3)]
    chunk = tokenized(by_answer, 10_000, TooLong.drop, EXCHANGE * 3, EXCHANGE)
    assert chunk.arrays["lengths"].tolist() == [*lengths, lengths[0]]
    assert chunk.arrays["numbers"].tolist() == [1, 1, 1, 2]
    assert chunk.totals.rows == 2
    cut = tokenized(by_answer, lengths[1], TooLong.cut_turns, EXCHANGE * 3)
    assert cut.arrays["lengths"].tolist() == lengths[:2]
    assert "1 of 3 answers left out" in cut.long[0].reason
    assert not len(tokenized(by_answer, lengths[1], TooLong.drop, EXCHANGE * 3).arrays["ids"])


def test_equal_tokens_have_equal_digests(encoder: Encoder) -> None:
    other = [EXCHANGE[0], {"role": "assistant", "content": "Blue."}]
    chunk = tokenized(encoder, 1000, TooLong.drop, EXCHANGE, other, EXCHANGE)
    first, second, third = chunk.arrays["digests"].tolist()
    assert first == third != second


def test_an_unusable_record_is_refused_alone_and_by_number(encoder: Encoder) -> None:
    forged = [EXCHANGE[0], {"role": "assistant", "content": "Red.<|im_end|>Blue."}]
    silent = [EXCHANGE[0]]
    chunk = tokenized(encoder, 1000, TooLong.drop, forged, EXCHANGE, silent)
    assert [refusal.number for refusal in chunk.refused] == [1, 3]
    assert "<|im_end|>" in chunk.refused[0].reason
    assert chunk.arrays["numbers"].tolist() == [2]


def test_notes_of_an_unusable_record_are_kept(encoder: Encoder) -> None:
    """Those of the first conversation of a tree are about the whole source."""
    forged = [EXCHANGE[0], {"role": "assistant", "content": "Red.<|im_end|>Blue."}, EXCHANGE[0]]
    chunk = tokenized(encoder, 1000, TooLong.drop, forged, EXCHANGE)
    assert list(chunk.notices.notes) == [UNANSWERED]


def test_characters_that_a_tokenizer_replaces_are_named() -> None:
    vocabulary = {"<unk>": 0, "<|im_end|>": 1, **{chr(code): code for code in range(2, 127)}}
    letters = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [], unk_token="<unk>"))
    letters.add_special_tokens(["<|im_end|>", "<unk>"])
    small: Any = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<|im_end|>")
    korean = [EXCHANGE[0], {"role": "assistant", "content": "빨강"}]
    chunk = tokenized(Encoder.of(small, PromptFormat.chatml), 1000, TooLong.drop, EXCHANGE, korean)
    assert {note: count.first for note, count in chunk.notices.notes.items()} == {UNKNOWN: 2}


def lines(count: int, rows: int) -> Iterator[Chunk]:
    """Chunks of rows of different lengths; some are too long, some unusable."""
    for number in range(count):
        records = [
            {"instruction": f"Count {number}.", "output": "Red. " * (1 + (number + row) % 12)}
            for row in range(rows)
        ]
        records[number % rows]["output"] = ""
        data = "".join(json.dumps(record) + "\n" for record in records)
        yield LineChunk(1 + number * rows, data.encode())


def test_several_processes_give_the_same_in_the_same_order(encoder: Encoder) -> None:
    tokenizer = chunks_of(encoder, 80, TooLong.drop)
    alone = list(map(tokenizer.tokenize, lines(12, 5)))
    together = list(tokenize_all(tokenizer, lines(12, 5)))
    assert any(chunk.long for chunk in alone)
    assert any(chunk.refused for chunk in alone)
    for one, other in zip(alone, together, strict=True):
        assert (one.refused, one.long, one.totals) == (other.refused, other.long, other.totals)
        assert one.notices.to_json() == other.notices.to_json()
        for name, values in one.arrays.items():
            assert np.array_equal(values, other.arrays[name])


def test_chunks_are_not_read_far_ahead_of_the_workers(encoder: Encoder) -> None:
    taken = 0

    def counted() -> Iterator[Chunk]:
        nonlocal taken
        for chunk in lines(200, 2):
            taken += 1
            yield chunk

    results = tokenize_all(chunks_of(encoder, 80, TooLong.drop), counted())
    for _ in range(5):
        next(results)
    assert taken < 100
    results.close()


def test_a_conversation_that_the_template_refuses_is_an_error_of_its_row_alone() -> None:
    template = (
        "{% for m in messages %}"
        "{% if m['role'] == 'system' %}{{ raise_exception('no system turn, please') }}"
        "{% elif m['role'] == 'user' %}{{ m['content'] + '\n' }}"
        "{% else %}{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}{% endif %}"
        "{% endfor %}"
    )
    encoder = Encoder.of(byte_tokenizer(template), None)
    refused = [{"role": "system", "content": "Be brief."}, *EXCHANGE]
    chunk = tokenized(encoder, 1000, TooLong.drop, EXCHANGE, refused)
    assert chunk.arrays["numbers"].tolist() == [1]
    said = "the chat template refuses it: no system turn, please; change the row or the template"
    assert chunk.refused[0].reason == said
