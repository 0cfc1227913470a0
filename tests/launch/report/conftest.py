"""A small finished pipeline run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from launch.config import SCHEMAS, PipelineConfig
from pacos.configs.compose import compose_checked
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from tests.launch.report.made_up import fill_data, fill_results, fill_training


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished pipeline run, created once."""
    root = tmp_path_factory.mktemp("runs")
    overrides = [f"run.root={root}", "run.name=small", "selfinstruct.seeds.heldout=1"]
    config = compose_checked(PipelineConfig, SCHEMAS, overrides)
    run = open_run(config)
    fills = (fill_data, fill_training, fill_results)
    for stage, fill in zip(config.stages(run.path), fills, strict=True):
        part = open_run(stage)
        lives = Lives(part)
        lives.begin()
        fill(part)
        lives.end(State.done, "all done", 0)
    return run.path


@pytest.fixture
def pipeline(finished: Path, tmp_path: Path) -> RunPaths:
    """A copy of the finished run that a test may change."""
    return RunPaths(shutil.copytree(finished, tmp_path / finished.name))
