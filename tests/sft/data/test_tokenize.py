from typing import Any

import pytest

from pacos.data.example import Conversation
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import IGNORE
from sft.configs.data import TooLong
from sft.data import tokenize as tokens
from sft.data.tokenize import RowTokenizer, tokenize_all
from tests.sft.byte_tokenizer import byte_tokenizer

TURNS = [
    {"role": "user", "content": "Name a colour."},
    {"role": "assistant", "content": "Red, as in the flag."},
]
EXCHANGE = Conversation(TURNS)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def encoder(tokenizer: Any) -> Encoder:
    return Encoder.of(tokenizer, PromptFormat.chatml)


def tokens_of(encoder: Encoder, conversation: Conversation) -> int:
    (rows,) = encoder.encode([conversation])
    assert isinstance(rows, list)
    return len(rows[0].ids)


def test_a_row_that_fits_is_whole(encoder: Encoder) -> None:
    length = tokens_of(encoder, EXCHANGE)
    (result,) = RowTokenizer(encoder, length, TooLong.drop).tokenize([EXCHANGE])
    assert result.row is not None
    assert len(result.row.ids) == length
    assert result.too_long is None


@pytest.mark.parametrize("policy", TooLong)
def test_an_answer_is_never_cut(encoder: Encoder, policy: TooLong) -> None:
    length = tokens_of(encoder, EXCHANGE)
    (result,) = RowTokenizer(encoder, length - 1, policy).tokenize([EXCHANGE])
    assert result.row is None
    assert result.too_long == f"{length} tokens: left out"


def test_cut_turns_leaves_out_as_few_of_the_last_exchanges_as_it_must(
    tokenizer: Any, encoder: Encoder
) -> None:
    turns = [{"role": "system", "content": "Be brief."}, *TURNS * 5]
    conversation = Conversation(turns)
    room = tokens_of(encoder, Conversation(turns[: 1 + 2 * 3]))
    (result,) = RowTokenizer(encoder, room, TooLong.cut_turns).tokenize([conversation])
    assert result.row is not None
    assert result.too_long is not None
    assert "the last 2 of 5 exchanges left out" in result.too_long
    learnt = tokenizer.decode(result.row.labels[result.row.labels != IGNORE])
    assert learnt == "Red, as in the flag.<|im_end|>" * 3


def test_a_control_token_in_a_text_is_an_error_of_its_row_alone(encoder: Encoder) -> None:
    forged = Conversation([TURNS[0], {"role": "assistant", "content": "Red.<|im_end|>Blue."}])
    good, bad = RowTokenizer(encoder, 1000, TooLong.drop).tokenize([EXCHANGE, forged])
    assert good.error is None
    assert bad.row is None
    assert bad.error is not None
    assert "<|im_end|>" in bad.error


def test_a_conversation_that_the_template_refuses_is_an_error_of_its_row_alone(
    tokenizer: Any,
) -> None:
    template = (
        "{% for m in messages %}"
        "{% if m['role'] == 'system' %}{{ raise_exception('no system turn, please') }}"
        "{% elif m['role'] == 'user' %}{{ m['content'] + '\n' }}"
        "{% else %}{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}{% endif %}"
        "{% endfor %}"
    )
    encoder = Encoder.of(tokenizer, None, template)
    refused = Conversation([{"role": "system", "content": "Be brief."}, *TURNS])
    good, bad = RowTokenizer(encoder, 1000, TooLong.drop).tokenize([EXCHANGE, refused])
    assert good.error is None
    assert bad.error == "the chat template refuses it: no system turn, please"


def test_several_processes_give_the_same_in_the_same_order(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CHUNK", 4)
    monkeypatch.setattr(tokens, "SERIAL_CHUNKS", 2)
    rows = RowTokenizer(encoder, 80, TooLong.drop)
    conversations = [
        Conversation([TURNS[0], {"role": "assistant", "content": "Red. " * (1 + n % 12)}])
        for n in range(50)
    ]
    alone = rows.tokenize(conversations)
    together = list(tokenize_all(rows, conversations))
    assert [result.too_long for result in together] == [result.too_long for result in alone]
    assert any(result.row is None for result in alone)
    for one, other in zip(alone, together, strict=True):
        if one.row is not None and other.row is not None:
            assert one.row.ids.tolist() == other.row.ids.tolist()
            assert one.row.labels.tolist() == other.row.labels.tolist()
