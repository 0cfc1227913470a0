"""The points of a sweep: from a command line with lists of values to one checked config each."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from launch.config import AnyConfig, PipelineConfig
from launch.plan.fit import compose_fitting
from launch.sweeps.folder import Sweep
from pacos.configs.tracking import TrackingConfig
from pacos.errors import ConfigError, Problem, UserError
from pacos.identity import identity


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One config of a sweep."""

    varied: dict[str, str]
    """The overrides, by key, in which it differs from other points."""
    config: AnyConfig


def expand(schema: type[AnyConfig], overrides: Sequence[str]) -> list[SweepPoint]:
    """Return the checked points of a sweep: every combination of the listed values.

    Raises:
        ConfigError: with the problems of all points.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        what = str(error).splitlines()[0]
        raise ConfigError([Problem("sweep", " ".join(overrides), what, "use KEY=A,B")]) from error
    ranges = [item for item in parsed if item.is_sweep_override() and not item.is_discrete_sweep()]
    if ranges:
        what = "is a range, and a sweep needs a list of values"
        remedy = "write A,B,C or range(…), or let search=optuna propose values"
        raise ConfigError(
            [Problem(item.key_or_group, item.get_value_string(), what, remedy) for item in ranges]
        )
    choices = [
        [f"{item.get_key_element()}={value}" for value in item.sweep_string_iterator()]
        if item.is_sweep_override()
        else [str(item.input_line)]
        for item in parsed
    ]
    return check_points(schema, list(itertools.product(*choices)), fixed_overrides(parsed))


def fixed_overrides(parsed: Sequence[Override]) -> set[str]:
    """Return the overrides that all points share, as they were typed."""
    return {str(override.input_line) for override in parsed if not override.is_sweep_override()}


def check_points(
    schema: type[AnyConfig], lists: Sequence[Sequence[str]], fixed: Collection[str]
) -> list[SweepPoint]:
    """Compose and check the config of each list of overrides.

    Args:
        schema: the config type of the command.
        lists: the overrides of each point.
        fixed: the overrides that all points share.

    Raises:
        ConfigError: with the problems of all points.
    """
    problems: list[Problem] = []
    points = []
    for overrides in lists:
        varied = {
            key: value
            for key, _, value in (item.partition("=") for item in overrides if item not in fixed)
        }
        try:
            points.append(SweepPoint(varied, compose_fitting(schema, overrides)))
        except ConfigError as error:
            # Points share most of their config, and with it most problems.
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ConfigError(problems)
    return points


def find_sweep(points: Sequence[SweepPoint]) -> Sweep:
    """Return the sweep of these points: the folder `run.name`, or one named after the points.

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
            f"run.name, or continue it with: pacos resubmit {sweep.path}"
        )
    refuse_foreign_files(sweep, "sweep")
    return sweep


def refuse_foreign_files(sweep: Sweep, kind: str) -> None:
    """Refuse a folder that holds files but no sweep.

    Args:
        sweep: the sweep to be.
        kind: the word for it in the message: sweep or search.

    Raises:
        UserError: the folder holds other files.
    """
    if not sweep.exists and sweep.path.exists() and any(sweep.path.iterdir()):
        raise UserError(
            f"run.name = {sweep.path.name}: {sweep.path} is not empty and holds no {kind}; choose "
            "another run.name, or move the folder away"
        )


def assign_run(config: AnyConfig, number: int, sweep: Sweep) -> None:
    """Set the run directory and the tracking group of a point's config."""
    config.run.root, config.run.name = str(sweep.path), str(number)
    for tracking in _trackings(config):
        tracking.group = tracking.group or sweep.path.name


def _trackings(config: AnyConfig) -> list[TrackingConfig]:
    if isinstance(config, PipelineConfig):
        return [config.selfinstruct.tracking, config.sft.tracking, config.eval.tracking]
    return [config.tracking]
