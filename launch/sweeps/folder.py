"""The folder of a sweep: its points and their runs, and the search for runs and sweeps by path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from launch.config import SCHEMA_OF, AnyConfig
from pacos.configs.frozen import load_frozen
from pacos.errors import UserError
from pacos.files import read_json, write_json
from pacos.run.lives import Lives
from pacos.run_paths import RunPaths


class Sweep:
    """A folder whose runs are named 0, 1, 2, …, in the order of the points in sweep.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "sweep.json"
        self.report = path / "report.html"

    @property
    def exists(self) -> bool:
        return self.file.is_file()

    def stage(self) -> str:
        """Return the command that the sweep was started with."""
        return str(read_json(self.file)["stage"])

    def varied(self) -> list[dict[str, str]]:
        """Return the overrides, by key, in which each point differs from the others."""
        points: list[dict[str, str]] = read_json(self.file)["points"]
        return points

    def working_folder(self) -> Path:
        """Return the folder the command was typed in; relative paths in configs start there."""
        return Path(read_json(self.file)["folder"])

    def run(self, number: int) -> RunPaths:
        """Return the run of a point."""
        return RunPaths(self.path / str(number))

    def runs(self) -> list[RunPaths]:
        """Return the run of each point."""
        return [self.run(number) for number in range(len(self.varied()))]

    def configs(self) -> list[AnyConfig]:
        """Return the frozen config of each point, as its next life will read it."""
        schema = SCHEMA_OF[self.stage()]
        configs = [load_frozen(Lives(run).next_config(), schema) for run in self.runs()]
        for number, config in enumerate(configs):
            # The sweep may have been moved since its configs were frozen.
            config.run.root, config.run.name = str(self.path), str(number)
        return configs

    def search(self) -> str | None:
        """Return the digest of a search's space and config; None for a sweep over listed points."""
        digest: str | None = read_json(self.file)["search"]
        return digest

    def write(
        self, stage: str, varied: Sequence[dict[str, str]], search: str | None = None
    ) -> None:
        """Record the points. A search records them again each time that it adds one."""
        facts = {"stage": stage, "folder": os.getcwd(), "search": search, "points": list(varied)}
        write_json(self.file, facts)


def runs_below(folder: Path) -> list[Sweep | RunPaths]:
    """Return the sweeps and runs directly below a folder, the newest last."""
    if not folder.is_dir():
        return []
    entries: list[Sweep | RunPaths] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime):
        if Sweep(path).exists:
            entries.append(Sweep(path))
        elif RunPaths(path).manifest.is_file():
            entries.append(RunPaths(path))
    return entries


def run_or_sweep(path: Path) -> Sweep | RunPaths:
    """Return the sweep or the run at a path that a user typed.

    Raises:
        UserError: the path holds neither.
    """
    if Sweep(path).exists:
        return Sweep(path.absolute())
    if RunPaths(path).manifest.is_file():
        return RunPaths(path.absolute())
    raise UserError(f"{path}: neither a run nor a sweep; give the folder of one, such as runs/demo")
