"""The report's section on generated data."""

from __future__ import annotations

from launch.report.page import write_report
from pacos.run_paths import RunPaths
from tests.launch.report.reading import Page, cells


def test_what_data_must_be(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path / "selfinstruct"))
    assert cells(page, "enough").startswith("rows 21 ≥ 10,000 no their content")
    assert cells(page, "quality", "above", "all").startswith(
        "mean score of the LLM judge, 1 to 10 – ≥ 7 not"
    )
    assert "appropriate" in page.text


def test_figures_of_the_data(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path / "selfinstruct"))
    assert cells(page, "too", "similar").startswith("15 37.5 % empty output 3 7.5 %")
    assert cells(page, "unsafe").startswith("2 5.0 % fraud 1 2.5 % <script>")
    assert cells(page, "with", "an", "input").startswith(
        "20 95.2 % classification unknown 20 95.2 %"
    )
    assert cells(page, "by", "rules:").startswith("1 may be harmful. In 20 of all rows a dangerous")
    assert "g7 unsafe: <b>fraud</b>" in page.text
    assert cells(page, "Diversity,", "en").startswith(
        "21 distinct instructions Two random instructions share"
    )
    assert cells(page, "describe").startswith("20 harbour 20 name 1 river 1")
    assert "Similarity, en" in page.text


def test_rows_can_be_opened_one_by_one(pipeline: RunPaths) -> None:
    page = Page(write_report(pipeline.path / "selfinstruct"))
    folded = [dict(attributes) for tag, attributes in page.tags if tag == "details"]
    assert [one.get("class") for one in folded].count("row") == 21 + 3
    assert not any("open" in one for one in folded)


def test_data_in_the_making(pipeline: RunPaths) -> None:
    for path in (pipeline.path / "selfinstruct" / "data").glob("*.json*"):
        if path.name != "ledger.jsonl":
            path.unlink()
    page = Page(write_report(pipeline.path / "selfinstruct"))
    assert "20 generated rows so far" in page.text
    assert "Of 40 candidates in 8 requests for tasks" in page.text
    assert "and cost $4.50" in page.text
    assert "Requirements on demonstration data" not in page.text
