"""Sweeps: one frozen run a point, in a folder that knows its points."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from launch.config import SCHEMA_OF, AnyConfig, PipelineConfig
from launch.plan.fit import compose_fitting
from pacos.configs.frozen import load_frozen
from pacos.configs.shared import TrackingConfig, identity
from pacos.errors import ConfigError, Problem, UserError
from pacos.files import read_json, write_json
from pacos.run.lives import Lives
from pacos.run_paths import RunPaths


@dataclass(frozen=True, slots=True)
class Point:
    """One of the configs of a sweep."""

    varied: dict[str, str]
    """What it has that not all points have: overrides by key."""
    config: AnyConfig


class Sweep:
    """The folder of a sweep. Its runs are called 0, 1, 2 …, in the order of the points."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "sweep.json"
        self.report = path / "report.html"

    @property
    def exists(self) -> bool:
        return self.file.is_file()

    def stage(self) -> str:
        """The command that all points were given to."""
        return str(read_json(self.file)["stage"])

    def varied(self) -> list[dict[str, str]]:
        """Of each point, what it has that not all points have."""
        points: list[dict[str, str]] = read_json(self.file)["points"]
        return points

    def folder(self) -> Path:
        """Where the command was typed, which relative paths in it start from."""
        return Path(read_json(self.file)["folder"])

    def runs(self) -> list[RunPaths]:
        """The run of each point."""
        return [RunPaths(self.path / str(number)) for number in range(len(self.varied()))]

    def configs(self) -> list[AnyConfig]:
        """The frozen config of each point, as its next life has to read it."""
        schema = SCHEMA_OF[self.stage()]
        configs = [load_frozen(Lives(run).next_config(), schema) for run in self.runs()]
        for number, config in enumerate(configs):
            # The sweep may have been moved.
            config.run.root, config.run.name = str(self.path), str(number)
        return configs

    def search(self) -> str | None:
        """What a search looks for, as a digest; None of a sweep whose points were all given."""
        found: str | None = read_json(self.file)["search"]
        return found

    def write(
        self, stage: str, varied: Sequence[dict[str, str]], search: str | None = None
    ) -> None:
        """Say which points there are; those of a search become more."""
        facts = {"stage": stage, "folder": os.getcwd(), "search": search, "points": list(varied)}
        write_json(self.file, facts)


def expand(schema: type[AnyConfig], words: Sequence[str]) -> list[Point]:
    """The points of a plain sweep, all of them checked: every combination of what is listed.

    Raises:
        ConfigError: with the problems of all points.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        what = str(error).splitlines()[0]
        raise ConfigError([Problem("sweep", " ".join(words), what, "use KEY=A,B")]) from error
    ranges = [one for one in overrides if one.is_sweep_override() and not one.is_discrete_sweep()]
    if ranges:
        what = "is no list of values"
        remedy = "write A,B,C or range(…), or let search=optuna propose values"
        raise ConfigError(
            [Problem(one.key_or_group, one.get_value_string(), what, remedy) for one in ranges]
        )
    values = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [str(one.input_line)]
        for one in overrides
    ]
    return check_points(schema, list(itertools.product(*values)), fixed_words(overrides))


def fixed_words(overrides: Sequence[Override]) -> set[str]:
    """The overrides that are the same in all points."""
    return {str(one.input_line) for one in overrides if not one.is_sweep_override()}


def check_points(
    schema: type[AnyConfig], lists: Sequence[Sequence[str]], fixed: Collection[str]
) -> list[Point]:
    """Compose a config of each list of overrides.

    Raises:
        ConfigError: with the problems of all points.
    """
    problems: list[Problem] = []
    points = []
    for words in lists:
        varied = {
            key: value
            for key, _, value in (word.partition("=") for word in words if word not in fixed)
        }
        try:
            points.append(Point(varied, compose_fitting(schema, words)))
        except ConfigError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ConfigError(problems)
    return points


def place(points: Sequence[Point]) -> Sweep:
    """The sweep of these points: the folder that `run.name` names, or one named after the points.

    Raises:
        UserError: the folder holds something else.
    """
    first = points[0].config
    names = {point.config.run.name for point in points}
    if len(names) > 1:
        raise UserError(
            f"run.name = {', '.join(sorted(map(str, names)))}: names the whole sweep, whose runs "
            "are numbered; give one name"
        )
    digest = hashlib.sha256("".join(identity(point.config) for point in points).encode())
    name = first.run.name or f"{first.STAGE}-sweep-{digest.hexdigest()[:8]}"
    sweep = Sweep(Path(first.run.root).absolute() / name)
    varied = [point.varied for point in points]
    if sweep.exists and (sweep.stage(), sweep.varied()) != (first.STAGE, varied):
        raise UserError(
            f"run.name = {name}: {sweep.path} is a sweep over other points; choose another "
            f"run.name, or go on with it: pacos resubmit {sweep.path}"
        )
    if not sweep.exists and sweep.path.exists() and any(sweep.path.iterdir()):
        raise UserError(
            f"run.name = {name}: {sweep.path} is not empty and holds no sweep; choose another "
            "run.name, or move the folder away"
        )
    return sweep


def settle(config: AnyConfig, number: int, sweep: Sweep) -> None:
    """Give a point's run its place in the sweep."""
    config.run.root, config.run.name = str(sweep.path), str(number)
    for tracking in _trackings(config):
        tracking.group = tracking.group or sweep.path.name


def _trackings(config: AnyConfig) -> list[TrackingConfig]:
    if isinstance(config, PipelineConfig):
        return [config.selfinstruct.tracking, config.sft.tracking, config.eval.tracking]
    return [config.tracking]


def short(value: str) -> str:
    """A value for a table: numbers with as many digits as matter."""
    try:
        return f"{float(value):.5g}" if len(value) > 8 else value
    except ValueError:
        return value
