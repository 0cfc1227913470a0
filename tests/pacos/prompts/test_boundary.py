"""The tokens before an answer are those that generation sees, whatever the answer begins with."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pacos.data.example import Conversation, RowError
from pacos.model.loading import load_tokenizer
from pacos.prompts.choice import prompt_text
from pacos.prompts.encoder import Encoder
from pacos.prompts.formats import PromptFormat
from pacos.prompts.tokens import EncodedRow, Reason
from tests.llama2_tokenizer import save_llama2_tokenizer
from tests.pacos.prompts.special_tokenizers import with_special_tokens

BEGINNINGS = [
    "",
    "\n",
    "\n\n\n",
    " ",
    "   ",
    "\t",
    " \n",
    ":",
    "::",
    "'s",
    "1",
    "é",
    "👋",
    "  \n\n",
]
QUESTION = {"role": "user", "content": "Hello"}


@pytest.fixture(scope="module")
def llama2(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_llama2_tokenizer(tmp_path_factory.mktemp("llama2"))
    return load_tokenizer(str(folder), pad_token="<unk>")


@pytest.fixture(scope="module")
def smollm2(tokenizer: Any) -> Any:
    return with_special_tokens(tokenizer)


def the_row(encoder: Encoder, *turns: dict[str, str]) -> EncodedRow:
    (result,) = encoder.encode([Conversation([*turns])])
    assert not isinstance(result, RowError)
    (row,) = result
    return row


def bare(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def answer(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


@pytest.mark.parametrize("prompt_format", list(PromptFormat))
@pytest.mark.parametrize("name", ["smollm2", "llama2"])
def test_training_begins_where_the_prompt_of_generation_ends(
    request: pytest.FixtureRequest, name: str, prompt_format: PromptFormat
) -> None:
    tokenizer: Any = request.getfixturevalue(name)
    if name == "llama2" and prompt_format in (PromptFormat.chatml, PromptFormat.llama3):
        pytest.skip("the tokenizer has no token of this format")
    encoder, rng = Encoder.of(tokenizer, prompt_format), random.Random(1)
    seen = prompt_text(tokenizer, prompt_format, [QUESTION])
    for number in range(200):
        beginning = BEGINNINGS[number % len(BEGINNINGS)]
        content = beginning + "".join(rng.choices("aH:\n 1", k=rng.randint(1, 5)))
        row = the_row(encoder, QUESTION, answer(content))
        trained = (row.reasons == Reason.trained).tolist()
        first = trained.index(True)
        assert row.ids[:first].tolist() == bare(tokenizer, seen), repr(content)
        text = tokenizer.decode(row.ids[trained])
        padded = prompt_format is PromptFormat.llama2
        stop = encoder.stop_token
        # Decoding drops SentencePiece's first blank.
        assert text.lstrip(" ") == (f" {content} " if padded else content).lstrip(" ") + stop


def test_a_newline_of_an_answer_is_not_merged_with_the_templates(smollm2: Any) -> None:
    merged = bare(smollm2, "<|im_start|>assistant\n\n\nHi")
    row = the_row(Encoder.of(smollm2, PromptFormat.chatml), QUESTION, answer("\n\nHi"))
    trained = row.ids[row.reasons == Reason.trained].tolist()
    assert smollm2.decode(trained) == "\n\nHi<|im_end|>"
    assert merged[1:] != row.ids.tolist()[-len(merged[1:]) - 1 : -1]


def test_newlines_of_the_prompt_are_those_that_generation_sees(smollm2: Any) -> None:
    """GPT-2's pattern makes one token of them at the end of a text, and two before a letter."""
    at_the_end = bare(smollm2, "<|end_header_id|>\n\n")[1:]
    assert at_the_end != bare(smollm2, "<|end_header_id|>\n\nHi")[1:-1]
    turns = [QUESTION, answer("Hi"), QUESTION, answer("Bye")]
    row = the_row(Encoder.of(smollm2, PromptFormat.llama3), *turns)
    ids, trained = row.ids.tolist(), (row.reasons == Reason.trained).tolist()
    begins = [n for n in range(len(ids)) if trained[n] and not trained[n - 1]]
    assert [ids[n - len(at_the_end) : n] for n in begins] == [at_the_end] * 2
    assert smollm2.decode(row.ids[trained]) == "Hi<|eot_id|>Bye<|eot_id|>"


def test_only_the_answers_that_need_it_are_tokenized_apart(smollm2: Any) -> None:
    turns = [QUESTION, answer("\n\nOne"), QUESTION, answer("Two, as ever."), QUESTION]
    row = the_row(Encoder.of(smollm2, PromptFormat.chatml), *turns, answer("\nThree"))
    trained = smollm2.decode(row.ids[row.reasons == Reason.trained])
    assert trained == "\n\nOne<|im_end|>Two, as ever.<|im_end|>\nThree<|im_end|>"
    assert smollm2.decode(row.ids).count("Hello") == 3


def test_llama_2_chat_is_tokenized_as_meta_does(llama2: Any) -> None:
    """Each exchange alone, with the blank that SentencePiece writes before a text."""
    turns = [{"role": "user", "content": "Hi a"}, answer("Hi 12"), QUESTION, answer("a\nB")]
    row = the_row(Encoder.of(llama2, PromptFormat.llama2), *turns)
    expected = []
    for text in ("[INST] Hi a [/INST] Hi 12 ", "[INST] Hello [/INST] a\nB "):
        expected += [llama2.bos_token_id, *bare(llama2, text), llama2.eos_token_id]
    assert row.ids.tolist() == expected
    assert [llama2.convert_ids_to_tokens(number) for number in expected[:2]] == ["<s>", "▁["]


def test_alpaca_is_tokenized_as_its_authors_do(llama2: Any) -> None:
    row = the_row(Encoder.of(llama2, PromptFormat.alpaca), QUESTION, answer("Hi a"))
    prompt = prompt_text(llama2, PromptFormat.alpaca, [QUESTION]).removeprefix("<s>")
    assert row.ids.tolist() == [1, *bare(llama2, prompt + "Hi a"), 2]
    assert llama2.convert_ids_to_tokens(int(row.ids[1])) == "▁B"
