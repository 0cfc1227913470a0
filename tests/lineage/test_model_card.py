"""The model card: metadata that the hub's own library reads, and text from the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index

from pacos.cards.metadata import model_license
from pacos.cards.model import renew_card
from pacos.files import append_jsonl, read_json, write_json
from pacos.lineage.library import Library


def card_of(model: Path, library: Library) -> ModelCard:
    renew_card(model, library)
    return ModelCard.load(model / "README.md")


def test_the_card_of_a_finished_run_is_complete_but_for_scores(runs: Path) -> None:
    card = ModelCard.load(runs / "first" / "model" / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "mit", "as the weights: the rows demand a notice only"
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text-generation"
    assert {"pacos", "sft", "synthetic"} <= {*data["tags"]}
    assert "base_model" not in data, "a local folder is no model of the hub"
    assert "model-index" not in data
    for heading in (
        "Recipe",
        "Data",
        "Compute",
        "Scores",
        "Safety",
        "Contamination",
        "Limits",
        "Lineage",
        "Terms",
    ):
        assert card.text.count(f"\n## {heading}\n") == 1, heading
    assert "written by scripted in the run `rows`" in card.text
    assert "0 of 40 generated training rows that were checked again may do harm" in card.text
    assert "Generated rows were compared with smoke" in card.text
    assert "No evaluation of this model was recorded" in card.text
    assert read_json(runs / "first" / "manifest.json")["tokens"] in card.text
    assert str(runs) not in card.text.split("## Terms")[0], "the paths of a machine"


def test_scores_come_with_intervals_and_survive_the_hub_s_reading(own_runs: Path) -> None:
    card = card_of(own_runs / "first" / "model", Library.below(own_runs))
    results = card.data.eval_results
    by_name = {(one.dataset_type, one.metric_type): one for one in results}
    accuracy = by_name["smoke", "acc"]
    assert accuracy.metric_value == 0.25
    assert accuracy.metric_args == {"confidence": 0.95, "interval": [0.152, 0.348]}
    assert accuracy.dataset_config == "5 examples"
    assert by_name["smoke", "perplexity"].metric_args is None
    written = card.data.to_dict()["model-index"]
    assert eval_results_to_model_index("first", results) == written
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()
    assert "| smoke | acc | 0.250 | 0.152 to 0.348 | 5 examples |" in card.text
    assert "Evaluated on xstest_safe: see the scores." in card.text
    assert "1 of 2 items of smoke share text with the 40 training rows" in card.text


def test_scores_of_another_step_are_not_this_model_s(own_runs: Path) -> None:
    origin = own_runs / "first" / "model" / "origin.json"
    write_json(origin, {**read_json(origin), "step": 8})
    card = card_of(origin.parent, Library.below(own_runs))
    assert card.data.eval_results is None
    assert "for 8 steps" in card.text


@pytest.mark.parametrize(
    ("life", "said"),
    [
        ({"gpu": None, "ranks": 2}, "no estimate: it ran on CPUs"),
        (
            {"gpu": "NVIDIA H200", "ranks": 8},
            "about 17.5 kWh, an estimate: each GPU draws its rated",
        ),
        ({"gpu": "NVIDIA Z900", "ranks": 8}, "no estimate: the power of NVIDIA Z900 is not known"),
        ({}, "Hardware: not recorded"),
    ],
)
def test_hours_and_energy_follow_from_the_lives(
    own_runs: Path, life: dict[str, Any], said: str
) -> None:
    run = own_runs / "first"
    for file in ("attempts.jsonl", "metrics.jsonl"):
        (run / file).unlink()
    for number in (1, 2):
        append_jsonl(run / "attempts.jsonl", [{"life": number, "first_step": number, **life}])
        append_jsonl(run / "metrics.jsonl", [{"step": number, "perf/step_seconds": 3600.0}])
    write_json(run / "status.json", {"life": 2})
    text = card_of(run / "model", Library.below(own_runs)).text
    assert "Time in steps: 2 hours, without start" in text
    assert said in text
    assert ("16 GPU-hours" in text) is (life.get("gpu") is not None)


def work(role: str, terms: str) -> dict[str, str]:
    return {"role": role, "terms": terms}


@pytest.mark.parametrize(
    ("works", "licence"),
    [
        ([work("weights", "llama3.1"), work("data", "own")], "llama3.1"),
        ([work("weights", "apache-2.0"), work("data", "cc-by-4.0")], "apache-2.0"),
        ([work("weights", "apache-2.0"), work("data", "apache-2.0")], "apache-2.0"),
        ([work("weights", "apache-2.0"), work("data", "cc-by-sa-4.0")], None),
        ([work("weights", "apache-2.0"), work("data", "cc-by-nc-4.0")], None),
        ([work("weights", "llama3.1"), work("data", "openai-output")], None),
        ([work("weights", "mit"), work("data", "unknown")], None),
        ([work("weights", "unknown"), work("data", "mit")], None),
    ],
)
def test_the_licence_is_that_of_the_weights_unless_rows_demand_more(
    works: list[dict[str, str]], licence: str | None
) -> None:
    assert model_license([*works, work("code", "apache-2.0")]) == licence
