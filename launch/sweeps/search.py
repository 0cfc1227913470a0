"""Searches: sweeps whose points Hydra's Optuna sweeper proposes, batch by batch."""

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
from launch.jobs.queue import read_queue
from launch.sweeps.folder import Sweep
from launch.sweeps.points import (
    SweepPoint,
    assign_run,
    check_points,
    fixed_overrides,
    refuse_foreign_files,
)
from launch.sweeps.report import write_sweep_report
from launch.sweeps.runs import complete_points
from launch.sweeps.study import Study
from launch.sweeps.table import show_sweep
from pacos.configs.compose import compose_checked, hydra_settings, register
from pacos.errors import EXIT_DONE, EXIT_SAVED, UserError, exit_with
from pacos.files import read_json
from pacos.identity import identity
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths


def is_search(overrides: Sequence[str]) -> bool:
    """Return True if a multirun is a search and not a list of points.

    Raises:
        UserError: a sweeper is chosen in Hydra's own notation.
    """
    if any(override.startswith("hydra/sweeper=") for override in overrides):
        raise UserError("hydra/sweeper: pacos supports one sweeper only; write search=optuna")
    return any(override.startswith("search=") for override in overrides)


def search(schema: type[AnyConfig], overrides: Sequence[str]) -> int:
    """Run a search, or continue one that ended before its last point.

    Returns:
        0 when it has finished, 85 if it was stopped.

    Raises:
        UserError: the search cannot start.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UserError(
            "search = optuna: Optuna is not installed; install it with: make setup-optuna"
        )
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = [override for override in parsed if override.is_sweep_override()]
    if not swept:
        raise UserError("search = optuna: nothing to search; add KEY=interval(A,B) or KEY=A,B")
    sample = compose_checked(schema, SCHEMAS, sample_point(overrides))
    sweep, fixed = _find_search(sample, swept), fixed_overrides(parsed)
    with warnings.catch_warnings():
        # hydra-optuna-sweeper uses names that Optuna has deprecated, with a warning for each.
        warnings.simplefilter("ignore", FutureWarning)
        study = Study(sweep, hydra_settings(schema, sorted(fixed)).sweeper)
        left = study.trials_left()
        if left > 0:
            own = [f"hydra.sweep.dir={sweep.path}", "hydra/launcher=pacos", *study.overrides(left)]
            _run_sweeper(BatchTask(schema, sweep, fixed, study), [*overrides, *own])
        best = study.best()
    show_sweep(sweep, read_queue())
    print(f"best: {best}\n{write_sweep_report(sweep)}")
    return EXIT_DONE


def _run_sweeper(task: BatchTask, overrides: Sequence[str]) -> None:
    """Let Hydra's sweeper propose points until its trials are used up."""
    stage = task.schema.STAGE
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    # hydra.main reads its arguments from sys.argv only.
    sys.argv = [f"pacos {stage}", "-m", *quiet, *overrides]
    register(SCHEMAS)
    hydra.main(version_base="1.3", config_path="pkg://conf", config_name=stage)(task)()


def sample_point(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a sweep with the first value of each key that is swept."""
    return [
        _first_value(item) for item in OverridesParser.create().parse_overrides(list(overrides))
    ]


def _first_value(override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    if override.is_interval_sweep():
        value = override.value()
        assert isinstance(value, IntervalSweep)
        return f"{override.get_key_element()}={value.start}"
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def _find_search(sample: AnyConfig, swept: Sequence[Override]) -> Sweep:
    """Return the search's folder: `run.name`, or one named after the search space."""
    space = sorted(str(override.input_line) for override in swept)
    digest = hashlib.sha256("\n".join([*space, identity(sample)]).encode()).hexdigest()
    name = sample.run.name or f"{sample.STAGE}-search-{digest[:8]}"
    sweep = Sweep(Path(sample.run.root).absolute() / name)
    refuse_foreign_files(sweep, "search")
    if not sweep.exists:
        sweep.write(sample.STAGE, [], search=digest)
    elif sweep.search() != digest:
        raise UserError(
            f"run.name = {name}: {sweep.path} is a search over another space, or with another "
            "config; choose another run.name"
        )
    return sweep


class BatchTask:
    """The task function for Hydra's launcher, which runs the points that a sweeper proposes."""

    def __init__(
        self, schema: type[AnyConfig], sweep: Sweep, fixed: set[str], study: Study
    ) -> None:
        self.schema = schema
        self._sweep = sweep
        self._fixed = fixed
        self._study = study

    def __call__(self, config: DictConfig) -> None:
        raise AssertionError("Hydra calls the task function itself only without -m")

    def launch(self, batch: Sequence[Sequence[str]]) -> list[JobReturn]:
        """Run a batch of points and return the value of each.

        Hydra turns an exception raised here into exit code 1 and a message of its own, so mistakes
        and stop requests leave by SystemExit.
        """
        try:
            points = check_points(self.schema, batch, self._fixed)
            numbers = [self._record(point) for point in points]
            if complete_points(self._sweep, set(numbers)) == EXIT_SAVED:
                print("stopped; run the same command again to continue the search", file=sys.stderr)
                raise SystemExit(EXIT_SAVED)
            results = list(map(self._result, numbers, batch))
            if not self._study.has_result and all(map(_failed, results)):
                # A mistake that every point shares would otherwise cost the whole search.
                raise UserError(
                    f"every point has failed so far: {results[0]._return_value}; fix the cause, "
                    "then run the same command again to retry these points"
                )
            return results
        except UserError as error:
            raise SystemExit(exit_with(error)) from error
        except KeyboardInterrupt as interrupt:
            # Ctrl-C arrives here between points, or while jobs are running.
            message = (
                "no longer waiting; submitted jobs keep running, and the same command continues"
            )
            print(f"\n{message}", file=sys.stderr)
            raise SystemExit(EXIT_SAVED) from interrupt

    def _record(self, point: SweepPoint) -> int:
        """Add a point to the sweep and return its number; an equal point keeps its number."""
        varied = self._sweep.varied()
        if point.varied not in varied:
            varied.append(point.varied)
        number = varied.index(point.varied)
        assign_run(point.config, number, self._sweep)
        open_run(point.config)
        self._sweep.write(self.schema.STAGE, varied, search=self._sweep.search())
        return number

    def _result(self, number: int, overrides: Sequence[str]) -> JobReturn:
        run = self._sweep.run(number)
        state = Lives(run).state()
        if state is not State.done:
            error = RuntimeError(f"point {number} is {state.value}, see {run.path}")
            return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=error)
        value = self._objective(run)
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=value)

    def _objective(self, run: RunPaths) -> float:
        objective = read_json(run.result)["objective"]
        required = "maximize" if objective["higher_is_better"] else "minimize"
        if self._study.direction != required:
            raise UserError(
                f"hydra.sweeper.direction = {self._study.direction}: {objective['name']} must be "
                f"{required}d; set it to {required} and choose another run.name"
            )
        return float(objective["value"])


def _failed(result: JobReturn) -> bool:
    return result.status is JobStatus.FAILED
