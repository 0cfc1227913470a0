"""Walks along the chain, in both directions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pacos.errors import UserError
from pacos.files import read_json, sha256, write_json
from pacos.lineage.trained_rows import TrainedRows
from tests.lineage.world import EPOCHS, request, row, spike_step
from tests.sft.small_runs import MARKED, ROWS

Lineage = Callable[..., str]


def test_a_spike_leads_to_the_request_behind_its_row(runs: Path, lineage: Lineage) -> None:
    step = spike_step(runs / "first")
    text = lineage(runs / "first", "--step", step)
    assert f"step {step} of {runs / 'first'}: loss" in text
    assert "train/loss" in text
    assert "usually" in text
    # The pass of the marked row comes first.
    _, table, detail = text.partition("place\n")
    table, _, detail = detail.partition("\n\n")
    marked = next(line for line in table.splitlines() if f"data.jsonl:{MARKED}" in line)
    first_loss = table.splitlines()[0].split()[0]
    assert marked.split()[0] == first_loss
    assert request(MARKED).key[:12] in marked
    content = marked.split()[1]
    whole = lineage(content, "--root", runs)
    assert f"request {request(MARKED).key} in {runs / 'rows' / 'data' / 'ledger.jsonl'}" in whole
    assert f"| [user] Write task {MARKED}, please." in whole
    assert f"| reply {MARKED}" in whole
    assert "request " in detail
    assert "| [user] Write task" in detail


def test_the_rows_of_all_steps_are_those_of_the_run(runs: Path) -> None:
    rows = TrainedRows.read(runs / "first" / "rows.npz")
    assert rows.steps.shape == (EPOCHS, ROWS)
    assert (rows.steps > 0).all()
    for line in map(json.loads, (runs / "first" / "metrics.jsonl").read_text().splitlines()):
        assert len(rows.of_step(line["step"])) == line["train/rows"]


def test_a_row_leads_to_every_model_that_saw_it(runs: Path, lineage: Lineage) -> None:
    place = f"{runs / 'rows' / 'data' / 'data.jsonl'}:{MARKED}"
    by_place = lineage(place, "--root", runs)
    content = by_place.split()[1]
    for subject in (row(MARKED)["id"], content):
        text = lineage(subject, "--root", runs)
        assert text.splitlines()[:2] == [f"row {content}", f"  in {place}"]
    steps = TrainedRows.read(runs / "first" / "rows.npz").steps_of(int(content, 16))
    assert len(steps) == EPOCHS
    seen = by_place.split("seen by\n")[1]
    assert f"{runs / 'first'} in step {', '.join(map(str, steps))}" in seen
    assert f"model        {runs / 'first' / 'model'}, step 35" in seen
    # The second model was not trained on the row, but on the weights that were.
    assert f"sft          {runs / 'second'}" in seen
    assert f"model        {runs / 'second' / 'model'}" in seen
    assert f"scores       {runs / 'scored'}: smoke/acc 0.250" in seen
    assert "seeds: seed_task_3" in by_place
    assert f"parents: {request(MARKED - 1).key[:12]}_0" in by_place
    # A task of the pool, as in `parents`, leads to its rows.
    assert f"row {content}" in lineage(f"{request(MARKED).key[:12]}_0", "--root", runs)


def test_a_row_of_one_file_is_found_in_the_form_of_another(
    runs: Path, tmp_path: Path, lineage: Lineage
) -> None:
    facts = row(MARKED)
    question = f"{facts['instruction']}\n\n{facts['input']}"
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": facts["output"]},
    ]
    copy = tmp_path / "copy.jsonl"
    copy.write_text(json.dumps({"messages": messages}) + "\n")
    text = lineage(f"{copy}:1", "--root", runs)
    assert f"{runs / 'first'} in step" in text


@pytest.mark.parametrize("subject", ["first", "first/model", "scored"])
def test_a_chain_goes_back_to_the_seeds(runs: Path, lineage: Lineage, subject: str) -> None:
    text = lineage(runs / subject)
    data = runs / "rows" / "data"
    parts = [
        f"{runs / 'first'}",
        f"data         {data / 'data.jsonl'}  sha256 {sha256(data / 'data.jsonl')[:12]}",
        f"selfinstruct {runs / 'rows'}",
        "generator    scripted, apache-2.0",
        "seeds en",
        f"requests     {ROWS} with their replies in {data / 'ledger.jsonl'}",
        f"tokens       of {ROWS} rows",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places, (parts[places.index(-1)], text)
    assert places == sorted(places)


def test_a_chain_goes_on_to_the_scores(runs: Path, lineage: Lineage) -> None:
    for subject in ("rows", "first", "first/model"):
        text = lineage(runs / subject)
        assert f"scores       {runs / 'scored'}: smoke/acc 0.250" in text
        assert f"{runs / 'second' / 'model'}, step" in text
    assert f"checkpoint   {runs / 'first' / 'checkpoints'}" in lineage(runs / "first")


def test_one_hash_names_the_tokens_from_manifest_to_model(runs: Path) -> None:
    run = runs / "first"
    tokens = read_json(run / "manifest.json")["tokens"]
    (checkpoint, *_) = (run / "checkpoints").glob("step-*/manifest.json")
    origin = read_json(run / "model" / "origin.json")
    assert tokens == read_json(checkpoint)["data"] == origin["data"]
    assert origin["files"] == {"model.safetensors": sha256(run / "model" / "model.safetensors")}
    weights = read_json(runs / "second" / "manifest.json")["inputs"]["weights"]
    assert weights["sha256"] == sha256(run / "model" / "origin.json")


def test_files_are_found_by_hash_wherever_they_moved(own_runs: Path, lineage: Lineage) -> None:
    manifest = own_runs / "first" / "manifest.json"
    content = read_json(manifest)
    content["inputs"]["data"]["path"] = "/elsewhere/renamed.jsonl"
    write_json(manifest, content)
    (own_runs / "first" / "model").rename(own_runs / "published")
    text = lineage(own_runs / "published")
    assert f"made by      {own_runs / 'first'}, step 35" in text
    assert f"selfinstruct {own_runs / 'rows'}" in text
    assert f"scores       {own_runs / 'scored'}" in text


def test_a_row_that_changed_since_is_not_shown_as_the_one_trained_on(
    own_runs: Path, lineage: Lineage
) -> None:
    config = own_runs / "first" / "config.yaml"
    original = str(own_runs / "rows")
    config.write_text(config.read_text().replace(f"path: {_original(config)}", f"path: {original}"))
    file = own_runs / "rows" / "data" / "data.jsonl"
    file.write_text(file.read_text().replace("~", ""))
    text = lineage(own_runs / "first", "--step", spike_step(own_runs / "first"))
    assert text.count("changed or removed since") == 1


def _original(config: Path) -> str:
    lines = config.read_text().split("data:\n", 1)[1].splitlines()
    return lines[0].removeprefix("  path: ")


def test_a_failed_item_leads_to_rows_and_requests(runs: Path, lineage: Lineage) -> None:
    text = lineage(runs / "scored", "--item", "smoke:1")
    assert "| Q1" in text
    assert "scores: acc 0.0" in text
    assert f"answered by {runs / 'first' / 'model'}, step 35 of {runs / 'first'}" in text
    assert "training rows that contain the item: 1\n  data.jsonl:7 (13-gram)" in text
    nearest = text.split("proves no influence\n")[1].split("\n\n")[0].splitlines()
    assert f"data.jsonl:{MARKED}" in nearest[0]
    assert len(nearest) == 5
    assert f"request {request(MARKED).key} in" in text


REFUSED = [
    (["unknown_row"], "no row below .* has this id.*--root"),
    (["0123_0"], "no row below"),
    (["rows", "--step", "3"], "holds no run of pacos sft, which --step needs"),
    (["first", "--item", "smoke:1"], "holds no run of pacos eval, which --item needs"),
    (["first", "--step", "99"], "has the steps 1 to 35"),
    (["scored", "--item", "mmlu:1"], "no such task; .* has: smoke"),
    (["scored", "--item", "smoke:7"], "no such item; failed ones: 1"),
    (["scored", "--item", "smoke"], "no such item"),
    (["rows/data"], "is no run and no model of pacos.*give a folder"),
    (["rows/data/data.jsonl"], "is a file; name a row of it as .*data.jsonl:LINE"),
    (["rows/data/data.jsonl:99"], "no row there"),
    (["nowhere", "--step", "1"], "is no folder"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=lambda each: str(each)[:40])
def test_wrong_input_gets_one_message(
    runs: Path, lineage: Lineage, arguments: list[str], message: str
) -> None:
    subject, *options = arguments
    given = runs / subject if (runs / subject.split(":")[0]).exists() else subject
    with pytest.raises(UserError, match=message) as refused:
        lineage(given, *options, "--root", runs)
    assert "\n" not in str(refused.value)


def test_an_unknown_hash_is_no_error_but_seen_by_nobody(runs: Path, lineage: Lineage) -> None:
    text = lineage("0" * 16, "--root", runs)
    assert "no data set below" in text
    assert "no training run below" in text


def test_a_run_of_an_older_version_says_so(own_runs: Path, lineage: Lineage) -> None:
    (own_runs / "first" / "rows.npz").unlink()
    with pytest.raises(UserError, match=r"records no rows.*its own command continues it"):
        lineage(own_runs / "first", "--step", 3)
    text = lineage(row(MARKED)["id"], "--root", own_runs)
    assert f"unknown for runs that an older version made: {own_runs / 'first'}" in text


def test_a_damaged_manifest_hides_no_other_run(own_runs: Path, lineage: Lineage) -> None:
    (own_runs / "second" / "manifest.json").write_text("{")
    assert f"scores       {own_runs / 'scored'}" in lineage(own_runs / "first")
    with pytest.raises(UserError, match="is no run and no model"):
        lineage(own_runs / "second")


def test_a_run_without_a_step_yet(tmp_path: Path, lineage: Lineage) -> None:
    write_json(tmp_path / "run" / "manifest.json", {"stage": "sft", "inputs": {}})
    assert "weights" in lineage(tmp_path / "run")
    with pytest.raises(UserError, match="records no rows"):
        lineage(tmp_path / "run", "--step", 1)
