"""Searches: sweeps whose points a sweeper of Hydra, such as Optuna's, proposes batch by batch."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from launch.config import SCHEMAS, AnyConfig
from launch.jobs.queue import jobs
from launch.report.sweep import write_sweep_report
from launch.status.table import show_sweep
from launch.sweep import Point, Sweep, check_points, fixed_words, settle
from launch.sweeps.runs import do_points
from launch.sweeps.study import Study
from pacos.configs.compose import compose_checked, hydra_settings, register
from pacos.configs.shared import identity
from pacos.errors import EXIT_DONE, EXIT_SAVED, UserError, exit_with
from pacos.files import read_json
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths


def is_search(words: Sequence[str]) -> bool:
    """Whether a multirun is a search rather than a list of points.

    Raises:
        UserError: it asks for one in Hydra's own words.
    """
    if any(word.startswith("hydra/sweeper=") for word in words):
        raise UserError("hydra/sweeper: pacos has one sweeper; write search=optuna")
    return any(word.startswith("search=") for word in words)


def search(schema: type[AnyConfig], words: Sequence[str]) -> int:
    """Search, or go on with a search that ended before its last point.

    Returns:
        0 at its end, 85 where it was stopped.

    Raises:
        UserError: it cannot be begun.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError("search = optuna: is not installed here; type: make setup-optuna")
    overrides = OverridesParser.create().parse_overrides(list(words))
    swept = [one for one in overrides if one.is_sweep_override()]
    if not swept:
        raise UserError("search = optuna: nothing to search; add KEY=interval(A,B) or KEY=A,B")
    sample = compose_checked(schema, SCHEMAS, sampled(words))
    sweep, fixed = _place(sample, swept), fixed_words(overrides)
    with warnings.catch_warnings():
        # The plugin uses names that this Optuna still has, and warns of.
        warnings.simplefilter("ignore", FutureWarning)
        study = Study(sweep, hydra_settings(schema, sorted(fixed)).sweeper)
        left = study.trials_left()
        if left > 0:
            own = [f"hydra.sweep.dir={sweep.path}", "hydra/launcher=pacos", *study.overrides(left)]
            _run_hydra(Batches(schema, sweep, fixed, study), [*words, *own])
        best = study.best()
    show_sweep(sweep, jobs())
    print(f"best: {best}\n{write_sweep_report(sweep)}")
    return EXIT_DONE


def _run_hydra(task: Batches, words: Sequence[str]) -> None:
    """Let Hydra's sweeper propose points until it has had enough."""
    stage = task.schema.STAGE
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    sys.argv = [f"pacos {stage}", "-m", *quiet, *words]
    register(SCHEMAS)
    hydra.main(version_base="1.3", config_path="pkg://conf", config_name=stage)(task)()


def sampled(words: Sequence[str]) -> list[str]:
    """The words of a search with one value for each key that is searched."""
    return [_one_value(one) for one in OverridesParser.create().parse_overrides(list(words))]


def _one_value(override: Override) -> str:
    """An override with the first of the values that it may take."""
    if not override.is_sweep_override():
        return str(override.input_line)
    if override.is_interval_sweep():
        value = override.value()
        assert isinstance(value, IntervalSweep)
        return f"{override.get_key_element()}={value.start}"
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def _place(sample: AnyConfig, swept: Sequence[Override]) -> Sweep:
    """The folder of a search: that which `run.name` names, or one named after what is searched."""
    space = sorted(str(one.input_line) for one in swept)
    digest = hashlib.sha256("\n".join([*space, identity(sample)]).encode()).hexdigest()
    name = sample.run.name or f"{sample.STAGE}-search-{digest[:8]}"
    sweep = Sweep(Path(sample.run.root).absolute() / name)
    if not sweep.exists:
        if sweep.path.exists() and any(sweep.path.iterdir()):
            raise UserError(
                f"run.name = {name}: {sweep.path} is not empty and holds no search; choose another "
                "run.name, or move the folder away"
            )
        sweep.write(sample.STAGE, [], search=digest)
    elif sweep.search() != digest:
        raise UserError(
            f"run.name = {name}: {sweep.path} searches something else, or with another config; "
            "choose another run.name"
        )
    return sweep


class Batches:
    """Runs the points that a sweeper proposes; the task function of Hydra's launcher."""

    def __init__(
        self, schema: type[AnyConfig], sweep: Sweep, fixed: set[str], study: Study
    ) -> None:
        self.schema = schema
        self._sweep = sweep
        self._fixed = fixed
        self._study = study

    def __call__(self, config: DictConfig) -> None:
        raise AssertionError("Hydra runs single points only without -m")

    def launch(self, batch: Sequence[Sequence[str]]) -> list[JobReturn]:
        """Do the points of a batch, and return the value of each."""
        try:
            points = check_points(self.schema, batch, self._fixed)
            numbers = [self._settle(point) for point in points]
            if do_points(self._sweep, set(numbers)) == EXIT_SAVED:
                print("stopped; the same command goes on with the search", file=sys.stderr)
                raise SystemExit(EXIT_SAVED)
            outcomes = list(map(self._outcome, numbers, batch))
            if not self._study.has_result and all(map(_failed, outcomes)):
                raise UserError(
                    f"every point failed so far: {outcomes[0]._return_value}; mend the cause, then "
                    "the same command tries these points again"
                )
            return outcomes
        except UserError as error:
            raise SystemExit(exit_with(error)) from error
        except KeyboardInterrupt as interrupt:
            # Between points, or while jobs are waited for.
            said = "no longer waiting; its jobs go on, and the same command goes on with it"
            print(f"\n{said}", file=sys.stderr)
            raise SystemExit(EXIT_SAVED) from interrupt

    def _settle(self, point: Point) -> int:
        """The number of a point: that which an equal one has, or the next."""
        varied = self._sweep.varied()
        if point.varied not in varied:
            varied.append(point.varied)
        number = varied.index(point.varied)
        settle(point.config, number, self._sweep)
        open_run(point.config)
        self._sweep.write(self.schema.STAGE, varied, search=self._sweep.search())
        return number

    def _outcome(self, number: int, words: Sequence[str]) -> JobReturn:
        run = self._sweep.runs()[number]
        if Lives(run).state() is not State.done:
            error = RuntimeError(f"point {number} is {Lives(run).state().value}, see {run.path}")
            return JobReturn(overrides=words, status=JobStatus.FAILED, _return_value=error)
        value = self._objective(run)
        return JobReturn(overrides=words, status=JobStatus.COMPLETED, _return_value=value)

    def _objective(self, run: RunPaths) -> float:
        result = read_json(run.result)
        objective = result["objective"]
        wanted = "maximize" if objective["higher_is_better"] else "minimize"
        if self._study.direction != wanted:
            raise UserError(
                f"hydra.sweeper.direction = {self._study.direction}: {objective['name']} is to be "
                f"{wanted}d; set it to {wanted}, with another run.name"
            )
        return float(objective["value"])


def _failed(outcome: JobReturn) -> bool:
    return outcome.status is JobStatus.FAILED
