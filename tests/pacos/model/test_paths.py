"""Where a model path points: a run stands for the model that it has exported."""

from __future__ import annotations

from pathlib import Path

from pacos.model.paths import exported_model, path_problem


def test_a_run_and_its_pipeline_stand_for_the_model(tmp_path: Path) -> None:
    run = tmp_path / "pipeline" / "sft"
    run.mkdir(parents=True)
    (run / "manifest.json").touch()
    assert exported_model(str(run)) is None
    assert "no model yet" in str(path_problem("target", str(run)))
    model = run / "model"
    model.mkdir()
    (model / "config.json").touch()
    assert exported_model(str(run)) == exported_model(str(run.parent)) == model
    assert f"give {model}" in str(path_problem("model.path", str(run)))
