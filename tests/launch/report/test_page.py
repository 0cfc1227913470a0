"""The report page, from small synthetic run directories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from launch.report.page import write_report
from launch.report.stages import read_stages
from pacos.errors import UserError
from pacos.run_paths import RunPaths
from tests.launch.report.made_up import HOSTILE
from tests.launch.report.reading import Page


def test_whole_pipeline(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path))
    sections = ["results", "answers", "training", "data", "config", "provenance", "files"]
    assert page.sections == sections
    assert "This report is incomplete" not in page.text
    for shown in (
        "2.000 → 1.500",
        "words/exact_match",
        "0.253",
        "−0.600 … −0.400",
        "Held-out NLL is the mean",
        "20 generated rows and 1 human-written seed tasks",
        "Of 40 candidates in 8 requests for tasks, 50.0 % were accepted",
        "similarity 0.88 to: Name a river.",
        "9 replies of the generator took 900 prompt tokens and 450 completion tokens and",
        "cost $4.50, 22.5 ¢ per generated row",
        "1 replies of the judge took 100 prompt tokens and 50 completion tokens; their price is",
        "smoke 7, whole: <script>",
        "1 of 1 generated answers",
        "I was before",
        "안녕",
        "Llama 2",
        "Apache-2.0, CC0-1.0",
        "7,000",
        "selfinstruct/data/data.jsonl",
    ):
        assert shown in page.text, shown
    assert "0.042" not in page.text, "p of one line where the verdict goes by the corrected one"


def test_is_the_same_each_time(pipeline: RunPaths) -> None:
    first = write_report(pipeline.path).read_bytes()
    assert write_report(pipeline.path).read_bytes() == first


def test_generated_text_is_text(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path))
    assert page.text.count(HOSTILE) > 10
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "link", "iframe", "object"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_needs_nothing_from_elsewhere(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path))
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert page.source.count("url(") == page.source.count("url(#")
    assert "@import" not in page.source


def test_references_inside_the_page_are_unique(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path))
    sections = page.sections
    assert len(set(sections)) == len(sections)
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    linked = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {str(link)[1:] for link in linked} <= targets


def test_partial_pipeline(pipeline: RunPaths) -> None:
    for part in ("sft", "eval"):
        folder = pipeline.path / part
        folder.rename(pipeline.path / f".{part}")
    page = Page(write_report(pipeline.path))
    assert page.sections == ["data", "config", "provenance", "files"]
    assert "This report is incomplete: sft is not started; eval is not started." in page.text


def test_nothing_begun(pipeline: RunPaths) -> None:
    for part in ("selfinstruct", "sft", "eval"):
        shutil.rmtree(pipeline.path / part)
    assert Page(write_report(pipeline.path)).sections == ["config", "provenance", "files"]


@pytest.mark.parametrize(
    ("stage", "sections"),
    [
        ("selfinstruct", ["data", "config", "provenance", "files"]),
        ("sft", ["training", "config", "provenance", "files"]),
        ("eval", ["results", "answers", "config", "provenance", "files"]),
    ],
)
def test_run_of_one_stage(pipeline: RunPaths, stage: str, sections: list[str]) -> None:
    path = pipeline.path / stage
    assert write_report(path) == path / "report.html"
    assert Page(path / "report.html").sections == sections


def test_evaluation_of_one_model(pipeline: RunPaths) -> None:
    (pipeline.path / "eval" / "eval" / "comparison.json").unlink()
    page = Page(write_report(pipeline.path / "eval"))
    assert "One model was evaluated" in page.text


def test_broken_surrogate_can_be_written(pipeline: RunPaths) -> None:
    data = pipeline.path / "selfinstruct" / "data" / "data.jsonl"
    row = {"id": "s", "instruction": "half \ud83d", "output": "x", "source": "generated"}
    data.write_text(json.dumps(row) + "\n")
    assert "half ?" in Page(write_report(pipeline.path)).text


def test_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run"):
        read_stages(tmp_path)
