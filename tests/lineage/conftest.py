"""The runs that the walks start from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.cli import parse
from tests.lineage.world import build


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs, created once."""
    return build(tmp_path_factory.mktemp("lineage"))


@pytest.fixture
def own_runs(runs: Path, tmp_path: Path) -> Path:
    """A copy of the runs that a test may change. Their records name files of the original."""
    return Path(shutil.copytree(runs, tmp_path / "copy"))


@pytest.fixture
def lineage(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command, and return what it prints."""

    def run(*arguments: object) -> str:
        args = parse(["lineage", *map(str, arguments)])
        args.execute(args)
        return capsys.readouterr().out

    return run
