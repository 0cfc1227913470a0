"""Tokens as readable text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pacos.prompts.tokens import EncodedRow, Reason, TokenizedRow, labels
from sft.preview.pieces import Piece, pieces, runs
from sft.preview.signs import Kind, TokenText, readable
from sft.steps.batch import Batch


def shown(tokenizer: Any, text: str, reasons: list[Reason] | None = None) -> list[Piece]:
    ids = np.array(tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int32)
    codes = np.array(reasons or [Reason.prompt] * len(ids), dtype=np.uint8)
    batch = Batch.of([TokenizedRow(ids, labels(ids, codes))], torch.device("cpu"))
    return pieces(EncodedRow(ids, codes), batch, 0, TokenText(tokenizer))


def test_tokens_of_one_character_are_one_piece(tokenizer: Any) -> None:
    found = shown(tokenizer, "a한🦙")
    assert [piece.text for piece in found] == ["a", "한", "🦙"]
    assert [len(piece.ids) for piece in found] == [1, 3, 4]


def test_bytes_without_a_character_have_their_names(tokenizer: Any) -> None:
    whole = tokenizer("한")["input_ids"]
    text = TokenText(tokenizer)
    codes = np.zeros(3, np.uint8)
    ids = np.array([*whole[:2], *tokenizer("b")["input_ids"]], dtype=np.int32)
    batch = Batch.of([TokenizedRow(ids, labels(ids, codes))], torch.device("cpu"))
    found = pieces(EncodedRow(ids, codes), batch, 0, text)
    names = [f"‹{tokenizer.convert_ids_to_tokens(token)}›" for token in whole[:2]]
    assert [piece.text for piece in found] == [*names, "b"]
    assert found[0].parts[0].kind is Kind.sign


def test_a_character_is_not_joined_over_the_edge_of_the_loss(tokenizer: Any) -> None:
    reasons = [Reason.given, Reason.trained, Reason.trained]
    found = shown(tokenizer, "한", reasons)
    assert [piece.reason for piece in found] == reasons
    assert all(piece.text.startswith("‹") for piece in found)


def test_special_tokens_are_told_from_text_that_looks_like_them(tokenizer: Any) -> None:
    special, *rest = shown(tokenizer, "<|im_end|><|x")
    assert (special.text, special.parts[0].kind) == ("<|im_end|>", Kind.special)
    assert {part.kind for piece in rest for part in piece.parts} == {Kind.text}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a b", "a b"),
        ("a\nb", "a↵\nb"),
        ("\t", "⇥\t"),
        ("\r\n", "␍↵\n"),
        ("\x1b[31m", "‹U+001B›[31m"),
        ("\u200b\ufeff\u202e\xa0\u2028", "‹U+200B›‹U+FEFF›‹U+202E›‹U+00A0›‹U+2028›"),
        ("⟦x⟧", "‹U+27E6›x‹U+27E7›"),
        ("שלום é é 한", "שלום é é 한"),
    ],
)
def test_what_cannot_be_seen_has_a_sign(text: str, seen: str) -> None:
    assert "".join(part.text for part in readable(text)) == seen


def test_the_space_before_a_word_stays_with_sentencepiece() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, "▁Hello": 1, "▁world": 2, "<0xED>": 3, "<0x95>": 4, "<0x9C>": 5}
    inside = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inside.pre_tokenizer = pre_tokenizers.Metaspace()
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    inside.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    texts = TokenText(PreTrainedTokenizerFast(tokenizer_object=inside))
    assert "".join(part.text for part in (*texts.parts((1,)), *texts.parts((2,)))) == " Hello world"
    assert texts.parts((3,)) == ()
    assert texts.parts((3, 4, 5))[0].text == "한"
    assert texts.name(4)[0].text == "‹<0x95>›"


def test_the_middle_of_a_long_run_is_hidden_and_counted(tokenizer: Any) -> None:
    reasons = [Reason.prompt] * 50 + [Reason.trained] * 3
    found = shown(tokenizer, "x" * 53, reasons)
    first, second = runs(found, most=10)
    assert (len(first.head), first.hidden, len(first.tail)) == (5, 40, 5)
    assert (len(second.head), second.hidden, len(second.tail)) == (3, 0, 0)
    (whole, _) = runs(found)
    assert len(whole.head) == 50
    assert list(runs([])) == []


def test_a_batch_that_scores_other_tokens_is_noticed(tokenizer: Any) -> None:
    ids = np.arange(5, 9, dtype=np.int32)
    codes = np.array([Reason.prompt, *[Reason.trained] * 3], dtype=np.uint8)
    wrong = labels(ids, codes)
    wrong[2] = -100
    batch = Batch.of([TokenizedRow(ids, wrong)], torch.device("cpu"))
    with pytest.raises(AssertionError, match="scores other tokens"):
        pieces(EncodedRow(ids, codes), batch, 0, TokenText(tokenizer))
