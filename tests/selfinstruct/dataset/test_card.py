"""The dataset card, and what demonstration data must be."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData

from pacos.cards.metadata import single_license
from pacos.configs.compose import compose_checked
from pacos.schemas import Row
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.dataset.card import card, cell
from selfinstruct.dataset.measures import DETAILS, Measures, measure, tally
from selfinstruct.dataset.requirements import requirements

VERBS = ["Name", "Describe", "List", "Write", "Explain", "Compare", "Invent", "Sketch", "Count"]
NOUNS = [f"{word}{ending}" for word in ("riv", "harb", "lett", "sail") for ending in ("er", "or")]


def rows(count: int, **lineage: Any) -> list[Row]:
    facts = {"lang": "en", "seeds": [], "teacher": "scripted", "terms": "Apache-2.0", **lineage}
    made = []
    for number in range(count):
        asked = f"{VERBS[number % 9]} the {NOUNS[number // 9 % 8]} that has number {number} on it."
        made.append(Row(f"g{number}", asked, "", f"It is number {number}.", "generated", facts))
    return made


@functools.cache
def compose(*overrides: str) -> SelfInstructConfig:
    return compose_checked(SelfInstructConfig, SCHEMAS, overrides)


def measured(made: list[Row], *rejected: str) -> Measures:
    return measure(made, 0, 10, rejected, compose())


def written(measures: Measures, *overrides: str) -> tuple[dict[str, Any], str]:
    """The metadata and the text of a card."""
    _, metadata, text = whole(measures, *overrides).split("---\n", 2)
    return yaml.safe_load(metadata), text


def whole(measures: Measures, *overrides: str) -> str:
    return card(compose(*overrides), measures, requirements(measures), ["Energy: no estimate."])


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        (["Apache-2.0"], "apache-2.0"),
        (["Apache-2.0", "Apache-2.0 (pacos)", "apache-2.0"], "apache-2.0"),
        (["CC-BY-NC-4.0 (its authors)"], "cc-by-nc-4.0"),
        (["Apache-2.0", "MIT"], None),
        (["Apache-2.0", "OpenAI terms of use (no models that compete with OpenAI)"], None),
        (["Apache-2.0 for code, else unknown"], None),
        (["unstated (seeds of the user)"], None),
        (["none"], None),
        ([""], None),
    ],
)
def test_a_licence_is_claimed_only_where_all_rows_name_it(
    terms: list[str], found: str | None
) -> None:
    assert single_license(terms) == found


def test_metadata_follows_from_the_rows() -> None:
    found = measured(rows(5))
    metadata, text = written(replace(found, languages={"en": 3, "ko": 2}))
    assert metadata["language"] == ["en", "ko"]
    assert metadata["license"] == "apache-2.0"
    assert metadata["size_categories"] == ["n<1K"]
    assert "Every row is under apache-2.0" in text
    many = replace(found, generated=52_000, terms={"MIT": 1, "Apache-2.0": 2})
    metadata, text = written(many)
    assert metadata["size_categories"] == ["10K<n<100K"]
    assert (metadata["license"], metadata["license_name"]) == ("other", "see-terms")
    assert "No licence covers the whole" in text
    assert "| MIT | 1 |" in text


def test_the_hub_s_own_library_reads_the_card() -> None:
    read = DatasetCard(whole(measured(rows(5))))
    assert isinstance(read.data, DatasetCardData)
    assert read.data.license == "apache-2.0"
    assert read.data.language == ["en"]
    assert read.data.multilinguality == "monolingual"
    assert read.data.language_creators == ["machine-generated"]
    assert read.data.source_datasets == ["original"]
    assert DatasetCard(str(read)).data.to_dict() == read.data.to_dict()
    for heading in ("How it was made", "Compute", "Safety", "Contamination", "Known limits"):
        assert read.text.count(f"\n## {heading}\n") == 1, heading
    assert "- Energy: no estimate." in read.text


def test_held_out_seeds_are_a_split_of_their_own() -> None:
    found = measured(rows(5))
    for heldout, names in ((0, ["train"]), (3, ["train", "heldout"])):
        metadata, _ = written(replace(found, heldout=heldout))
        files = metadata["configs"][0]["data_files"]
        assert [split["split"] for split in files] == names


def test_the_card_says_how_rows_were_made_and_what_was_left_out() -> None:
    reasons = ["too similar"] * 3 + ["unsafe: hate"] * 2 + ["unsafe: fraud | theft"]
    found = measured(rows(20, is_classification=True), *reasons)
    _, text = written(found, "method=self_instruct")
    assert "| too similar | 3 |" in text
    assert "| unsafe | 3 |\n| – hate | 2 |\n| – fraud \\| theft | 1 |" in text
    assert "Of 26 candidates 20 were accepted" in " ".join(text.split())
    assert "Each request showed 6 seed tasks and up to 2 generated tasks" in " ".join(text.split())
    assert "20 classification" in text
    assert "Nobody has checked the generated rows" in text
    _, text = written(found, "suite.benchmarks=[]")
    assert "not compared with any benchmark" in text


def test_hostile_texts_do_not_break_a_table() -> None:
    hostile = "a|b\n| c | <script>`x`" + "z" * 300
    assert cell(hostile).startswith("a\\|b \\| c \\| &lt;script>'x'z")
    assert len(cell(hostile)) < 120
    _, text = written(measured(rows(3), f"request failed: {hostile}"))
    assert "<script" not in text


def test_reasons_are_counted_by_group_and_rare_details_together() -> None:
    failures = [f"request failed: error {number}" for number in range(DETAILS + 5)]
    counts = tally(["too similar", *failures, *failures[:1]])
    assert list(counts) == ["request failed", "too similar"]
    assert counts["too similar"] == {"": 1}
    assert counts["request failed"]["error 0"] == 2
    assert len(counts["request failed"]) == DETAILS + 1
    assert list(counts["request failed"].items())[-1] == ("others", 5)


def met(measures: Measures) -> dict[str, list[bool | None]]:
    found: dict[str, list[bool | None]] = {}
    for one in requirements(measures):
        found.setdefault(one.demand, []).append(one.met)
    return found


def test_good_rows_meet_what_they_must_be() -> None:
    found = measured(rows(72))
    assert met(replace(found, generated=9_999))["enough"] == [False]
    assert met(replace(found, generated=10_000))["enough"] == [True]
    assert met(found)["appropriate"] == [True]
    assert met(found)["safe"] == [True]


def test_monotonous_rows_are_not_diverse() -> None:
    same = [
        replace(row, instruction=f"Write a poem on the river with the name {number}.")
        for number, row in enumerate(rows(130))
    ]
    assert met(measured([*same, same[0]]))["diverse"] == [False] * 4


def test_few_rows_are_not_judged_by_their_wording() -> None:
    assert met(measured(rows(1)))["diverse"] == [True, None, None, True]


def test_bad_answers_and_dangers_are_found_whatever_the_filters_were() -> None:
    refusals = [replace(row, output="I'm sorry, but I cannot help with that.") for row in rows(50)]
    found = measured(refusals)
    assert found.objections == {"output refuses": {"": 50}}
    assert met(found)["appropriate"] == [False]
    mine = replace(rows(1)[0], output="Write to Anna Kim, anna.kim83@gmail.com, for the key.")
    found = measured([mine, *rows(9)[1:]])
    assert met(found)["safe"] == [False]
    assert found.harmful == {"g0": "personal data: e-mail address"}
    _, text = written(found)
    assert "1 of 9 rows that were checked again may do harm: `g0`" in text


def test_quality_is_what_a_judge_said() -> None:
    assert met(measured(rows(3)))["quality above all"] == [None]
    assert met(measured(rows(3, quality=8)))["quality above all"] == [True]
    assert met(measured([*rows(1, quality=9), *rows(1, quality=4)]))["quality above all"] == [False]


def test_alpaca_is_diverse(shared_data: Path) -> None:
    facts = {"lang": "en", "terms": "CC-BY-NC-4.0"}
    records = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())[:500]
    alpaca = [
        Row(str(at), one["instruction"], one["input"], one["output"], "alpaca", facts)
        for at, one in enumerate(records)
    ]
    found = met(measured(alpaca))
    assert found["diverse"] == [True] * 4
    assert found["appropriate"] == [True]
