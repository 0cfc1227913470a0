from __future__ import annotations

import json
from pathlib import Path

import pytest

from pacos.text.language import language, prose, runs

TEXTS = [
    ("What is the capital of this country?", "en"),
    ("한국의 수도는 어디인가요?", "ko"),
    ("예", "ko"),
    ("Python의 list comprehension을 for loop 대신 써 보세요.", "ko"),
    ("El río que pasa por la ciudad de Lima.", "es"),
    ("Je ne sais pas si elle est dans la rue avec les enfants.", "fr"),
    ("Der Hund ist nicht im Haus und schläft auf dem Sofa.", "de"),
    ("O menino foi para a escola com os seus amigos e não voltou.", "pt"),
    ("Il gatto è sul tavolo e non vuole scendere per il latte.", "it"),
    ("今天的天气很好。", "zh"),
    ("今日はとてもいい天気です。", "ja"),
    ("Сегодня хорошая погода.", "ru"),
    ("الطقس جميل اليوم", "ar"),
    ("วันนี้อากาศดี", "th"),
    ("The word for river in Korean is 강, and 물 is water.", "en"),
    ("", None),
    ("42 + 17 = 59", None),
    ("Paris", None),
    ("Joe Beef, L'Express, Les 400 Coups, Au Pied de Cochon, Toqué", None),
    ("```python\nfor the in of: and\n```", None),
]


@pytest.mark.parametrize(("text", "code"), TEXTS)
def test_languages(text: str, code: str | None) -> None:
    assert language(text) == code


def test_prose_has_no_code_links_or_formulas() -> None:
    text = "Run `ls` at https://a.org/b, <b>now</b>: $x^2$ ```rm -r``` me@a.org end"
    assert prose(text).split() == ["Run", "at", "now", ":", "end"]


def test_runs_of_letters() -> None:
    assert list(runs("서울(Seoul) 漢江 2")) == [
        ("hangul", "서울"),
        ("latin", "Seoul"),
        ("han", "漢江"),
    ]


def test_articles_of_two_languages(shared_data: Path) -> None:
    for name, code in (("english", "en"), ("korean", "ko")):
        path = shared_data / "tydiqa_goldp" / f"{name}_tydiqa_dev.json"
        articles = json.loads(path.read_text())["data"]
        texts = [part["context"] for article in articles for part in article["paragraphs"]]
        found = [language(text) for text in texts]
        assert set(found) <= {code, None}
        assert found.count(code) >= 0.98 * len(texts)


def test_no_english_instruction_is_taken_for_another_language(shared_data: Path) -> None:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    assert {language(row["instruction"]) for row in rows} == {"en", None}
