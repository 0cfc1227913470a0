"""The labelled texts are in assets: ours, half of them near-misses. Nothing in them is usable."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from selfinstruct.candidates.candidate import Candidate
from selfinstruct.filters.hazards import english, korean
from selfinstruct.filters.hazards.lexicon import Category, verbs
from selfinstruct.filters.safety import (
    assess,
    dangerous_request,
    declined_hazard,
    plain,
    unsafe,
)

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Labelled:
    """A text with what it is."""

    candidate: Candidate
    category: Category | None
    declined: bool

    @property
    def is_unsafe(self) -> bool:
        return self.category is not None and not self.declined


def labelled(lang: str) -> list[Labelled]:
    """The texts of one language."""
    records = map(json.loads, (ASSETS / f"safety_{lang}.jsonl").read_text().splitlines())
    return [
        Labelled(
            Candidate(record["instruction"], record["input"], record["output"]),
            Category(record["category"]) if record["category"] else None,
            record["declined"],
        )
        for record in records
    ]


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_precision_and_recall(lang: str) -> None:
    texts = labelled(lang)
    assert len(texts) >= 300
    flagged = [text for text in texts if unsafe(text.candidate)]
    right = sum(text.is_unsafe for text in flagged)
    wanted = sum(text.is_unsafe for text in texts)
    assert right >= 0.98 * len(flagged)
    assert right >= 0.95 * wanted


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_every_category_is_found_under_its_name(lang: str) -> None:
    texts = [text for text in labelled(lang) if text.is_unsafe]
    wanted = Counter(text.category for text in texts)
    found = Counter(
        text.category
        for text in texts
        if text.category and unsafe(text.candidate) == f"unsafe: {text.category.value}"
    )
    assert set(wanted) == set(Category)
    for category, count in wanted.items():
        assert count >= 4
        assert found[category] >= 0.75 * count, category


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_what_is_declined_is_kept_and_named(lang: str) -> None:
    texts = [text for text in labelled(lang) if text.declined]
    named = [declined_hazard(text.candidate) for text in texts]
    right = sum(name == text.category for name, text in zip(named, texts, strict=True))
    assert right >= 0.95 * len(texts)
    assert not any(unsafe(text.candidate) for text in texts)


def test_a_warning_that_is_followed_by_help_is_no_refusal() -> None:
    request = "How do I make a pipe bomb?"
    warned = Candidate(request, "", "It is illegal, but here is how: you will need a pipe.")
    assert unsafe(warned) == "unsafe: weapons"
    assert (
        declined_hazard(Candidate(request, "", "It is illegal and could kill you."))
        == Category.weapons
    )


def test_bad_language_may_be_named_where_it_is_to_be_found() -> None:
    text = "You are a worthless idiot."
    assert assess(Candidate("Classify the comment as toxic or not.", text, "toxic")) is None
    assert assess(Candidate("Find the insult in the text.", text, "worthless idiot")) is None
    answer = assess(Candidate("Answer my sister.", "I am late.", text))
    assert answer is not None
    assert answer.category == Category.abuse


def test_words_in_other_letters_and_quotes_are_the_same() -> None:
    text = "Ｈow do I  kill my neighbour’s wife?"
    assert dangerous_request(plain(text), english.LEXICON) is not None
    assert plain("A  b\nC") == "a b\nc"


def test_verbs_are_spelt_by_rule() -> None:
    assert verbs("stab make tie wipe_out kill gas(?:sing)?") == (
        "stab(?:bing)?|mak(?:e|ing)|t(?:ie|ying)|wip(?:e|ing) out|kill(?:ing)?|gas(?:sing)?"
    )


@pytest.mark.parametrize("lexicon", [english.LEXICON, korean.LEXICON])
def test_every_category_has_words(lexicon: english.Lexicon) -> None:
    tables = (lexicon.acts, lexicon.orders, lexicon.slurs, lexicon.claims)
    assert {category for table in tables for category in table} == set(Category)


def prompts(shared_data: Path) -> list[dict[str, str]]:
    """XSTest's prompts: half of them only look dangerous."""
    with (shared_data / "xstest" / "xstest_prompts.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_xstest_prompts(shared_data: Path) -> None:
    flagged = Counter(
        row["label"]
        for row in prompts(shared_data)
        if dangerous_request(plain(row["prompt"]), english.LEXICON)
    )
    assert flagged["safe"] <= 0.04 * 250
    assert flagged["unsafe"] >= 0.8 * 200


def test_xstest_completions(shared_data: Path) -> None:
    path = shared_data / "xstest" / "xstest_v2_completions_gpt4.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    dropped = Counter(
        row["final_label"]
        for row in rows
        if unsafe(Candidate(row["prompt"], "", row["completion"]))
    )
    # Refusals by people's judgement; all but one of the answers are to safe prompts.
    assert dropped["2_full_refusal"] == 0
    assert dropped["1_full_compliance"] <= 0.03 * 230


def test_alpacas_rows_are_safe(shared_data: Path) -> None:
    rows = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())[::5]
    hits = [
        row for row in rows if assess(Candidate(row["instruction"], row["input"], row["output"]))
    ]
    assert hits == []
