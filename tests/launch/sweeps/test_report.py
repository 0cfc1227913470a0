"""The page that compares the points of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.sweeps.folder import Sweep
from launch.sweeps.points import assign_run, expand, find_sweep
from launch.sweeps.report import write_sweep_report
from launch.sweeps.table import show_sweep
from pacos.files import write_json
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from sft.config import SFTConfig
from tests.launch.report.reading import Page

LOSSES = {0: 0.7, 2: 0.25}
"""Losses of the points that finish; point 1 fails."""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}\n")
    words = ["model=tiny", "data.path=rows.jsonl", "run.name=scan", "optimizer.lr=1e-5,2e-5,3e-5"]
    points = expand(SFTConfig, words)
    sweep = find_sweep(points)
    for number, point in enumerate(points):
        assign_run(point.config, number, sweep)
        run = open_run(point.config)
        lives = Lives(run)
        lives.begin()
        if number in LOSSES:
            objective = {"name": "loss", "value": LOSSES[number], "higher_is_better": False}
            write_json(run.result, {"objective": objective, "loss": LOSSES[number], "steps": 9})
            lives.end(State.done, "done", 0)
        else:
            lives.end(State.failed, "<b>no</b> memory", 1)
    sweep.write("sft", [point.varied for point in points])
    return sweep


def test_the_best_point_comes_first_and_a_failed_one_says_why(sweep: Sweep) -> None:
    RunPaths(sweep.path / "2").report.write_text("its own")
    page = Page(write_sweep_report(sweep))
    places = [page.text.index(rate) for rate in ("3e-05", "1e-05", "2e-05")]
    assert places == sorted(places)
    assert "<b>no</b> memory" in page.text
    assert "2 done, 1 failed" in page.text
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["2/report.html"]


def test_the_table_says_how_to_go_on(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    show_sweep(sweep, None)
    shown = capsys.readouterr().out
    assert f"pacos resubmit {sweep.path}" in shown
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == ["0", "1", "2"]
