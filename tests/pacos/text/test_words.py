from __future__ import annotations

import json
import random
import string
import sys
from pathlib import Path

import pytest

from pacos.errors import UserError
from pacos.text import words
from pacos.text.words import WordRule, tokenize, tokenizer


def rouge_tokens(text: str) -> list[str]:
    rouge = pytest.importorskip("rouge_score.tokenize")
    tokens: list[str] = rouge.tokenize(text, None)
    return tokens


def test_ascii_has_the_words_of_rouge_score() -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choices(string.printable, k=60)) for _ in range(2000)]
    for text in [*texts, "", "_", "snake_case x2 don't 3.14", "".join(map(chr, range(128)))]:
        assert tokenize(text) == rouge_tokens(text)


def test_real_instructions_have_the_words_of_rouge_score_but_for_accents(shared_data: Path) -> None:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    differing = [
        row["instruction"]
        for row in rows
        if tokenize(row["instruction"]) != rouge_tokens(row["instruction"])
    ]
    # entrée, très, ¿cómo estás: rouge_score cuts them at the accent.
    assert len(differing) == 4
    assert not any(map(str.isascii, differing))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("한국의 수도는 어디인가요?", ["한국의", "수도는", "어디인가요"]),
        ("Python으로 3개, snake_case를", ["python", "으로", "3", "개", "snake", "case", "를"]),
        ("각", ["각"]),
        ("Où est l'ÉCOLE?", ["où", "est", "l", "école"]),
        ("e\u0301cole", ["école"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("Ω_1 and x2", ["ω", "1", "and", "x2"]),
        ("Привет, мир! 2026-й", ["привет", "мир", "2026", "й"]),
        ("東京タワー3号", ["東", "京", "タ", "ワ", "ー", "3", "号"]),
        ("ｶﾞ １２３ ＡＢ", ["ガ", "123", "ab"]),
        ("ภาษาที่ 12", ["ภ", "า", "ษ", "า", "ที่", "12"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("👍🏽 – “…” ★", []),
    ],
)
def test_words_of_any_script(text: str, expected: list[str]) -> None:
    assert tokenize(text) == expected


def test_the_unicode_rule_is_the_plain_function() -> None:
    assert tokenizer(WordRule.unicode)("서울은 크다") == tokenize("서울은 크다")


def test_kiwi_strips_particles_and_endings() -> None:
    pytest.importorskip("kiwipiepy")
    cut = tokenizer(WordRule.kiwi)
    assert cut("서울은") == cut("서울이") == ["서울"]
    assert cut("함수를 작성하세요.") == cut("함수 작성하라!") == ["함수", "작성", "하"]
    assert cut("Python으로 snake_case를 3개") == ["python", "snake", "case", "3", "개"]


@pytest.mark.parametrize("text", ["Name x_1, don't.", "東京 café", "", "?!"])
def test_kiwi_leaves_text_without_hangul_alone(text: str) -> None:
    pytest.importorskip("kiwipiepy")
    assert tokenizer(WordRule.kiwi)(text) == tokenize(text)


def test_without_kiwi_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    words._kiwi.cache_clear()
    with pytest.raises(UserError, match=r"pip install .*'\.\[ko\]'"):
        tokenizer(WordRule.kiwi)
    words._kiwi.cache_clear()
