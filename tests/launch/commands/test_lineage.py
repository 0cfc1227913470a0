"""`pacos lineage RUN --terms`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from launch.cli import parse
from pacos.configs.license import LicensePolicy, WaiverConfig, terms_record
from pacos.errors import UserError
from pacos.terms.combine import PACOS, Input, Role

TEACHER = Input(Role.teacher, "gpt", "openai-output", "generator.terms")
WEIGHTS = Input(Role.weights, "llama", "llama3.1", "model.license")
ROWS = Input(Role.data, "rows.jsonl", "openai-output", "data.terms")


def manifest(run: Path, stage: str, **facts: Any) -> Path:
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"stage": stage, **facts}))
    return run


def recorded(*works: Input) -> Mapping[str, Any]:
    return {"terms": terms_record([*works, PACOS], LicensePolicy.research, WaiverConfig())}


def shown(run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    args = parse(["lineage", str(run), "--terms"])
    args.execute(args)
    # Lines are wrapped.
    return " ".join(capsys.readouterr().out.split())


def test_the_chain_goes_from_inputs_to_permitted_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(manifest(tmp_path / "run", "sft", **recorded(WEIGHTS, ROWS)), capsys)
    parts = [
        "weights llama llama3.1 commercial",
        "data rows.jsonl openai-output commercial",
        "llama3.1 1.b.i: display “Built with Llama”",
        "llama3.1 2: ask Meta for a licence",
        "no commercial use: openai-output 3.3(e) forbids models that compete",
        "The model may be used for research only, if the duties are met.",
        "This is no legal advice",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_a_pipeline_shows_its_data_set_and_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = manifest(tmp_path / "run", "pipeline")
    manifest(run / "selfinstruct", "selfinstruct", **recorded(TEACHER))
    manifest(run / "sft", "sft", **recorded(WEIGHTS, ROWS))
    text = shown(run, capsys)
    assert "Data set, checked (license_policy=research)" in text
    assert "teacher gpt openai-output" in text
    assert "The model may be used for research only" in text


def test_a_run_of_an_older_version_is_read_from_its_lineage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lineage = {"weights": "Llama 2 Community License", "data": ["CC-BY-NC-4.0", "free for all"]}
    text = shown(manifest(tmp_path / "run", "sft", lineage=lineage), capsys)
    assert "weights weights llama2 commercial" in text
    assert "data data unknown (free for all) unknown" in text
    assert "Model, not checked" in text
    assert "no commercial use: cc-by-nc-4.0 2(a)(1)" in text


def test_what_has_no_terms_is_refused(tmp_path: Path) -> None:
    for run in (tmp_path, manifest(tmp_path / "run", "eval")):
        args = parse(["lineage", str(run), "--terms"])
        with pytest.raises(UserError, match=r"is no run|records no terms"):
            args.execute(args)
