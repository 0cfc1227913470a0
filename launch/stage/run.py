"""From the overrides of a stage command to a checked config, and from there to a run or a sweep."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from launch.config import SCHEMA_OF, SCHEMAS
from launch.dispatch import dispatch, dry_run
from launch.plan.fit import compose_fitting, refuse_if_too_large
from launch.sweeps.points import expand
from launch.sweeps.runs import begin_sweep, dry_run_sweep
from launch.sweeps.search import is_search, search
from pacos.configs.compose import check, register
from pacos.errors import EXIT_DONE, UserError, exit_with

NO_HYDRA_OUTPUT = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)
"""Overrides that keep Hydra from writing an output folder of its own; the run directory holds the
config. They come before the user's overrides, which therefore win."""


def run_stage(name: str, overrides: Sequence[str], *, is_sweep: bool, is_dry_run: bool) -> int:
    """Run or submit one config or a sweep, or print what would be started; return the exit code.

    Raises:
        UserError: the config is wrong, or nothing could be started.
    """
    schema = SCHEMA_OF[name]
    if is_sweep and is_search(overrides):
        if is_dry_run:
            raise UserError("--dry-run: a search has no points yet; leave out search=…")
        return search(schema, overrides)
    if is_sweep:
        points = expand(schema, overrides)
        return dry_run_sweep(points) if is_dry_run else begin_sweep(points)
    config = compose_fitting(schema, overrides)
    return dry_run(config) if is_dry_run else dispatch(config)


def run_with_hydra(name: str, options: Sequence[str], overrides: Sequence[str]) -> int:
    """Let Hydra handle options such as `--cfg job`; return the exit code.

    If the options leave a config to run, such as `--config-dir`, Hydra hands it back here.
    """
    schema = SCHEMA_OF[name]
    register(SCHEMAS)
    codes: list[int] = []

    def job(composed: DictConfig) -> None:
        try:
            config = check(composed, schema, overrides)
            refuse_if_too_large(config)
            codes.append(dispatch(config))
        except UserError as error:
            codes.append(exit_with(error))

    # hydra.main reads its arguments from sys.argv only.
    sys.argv = [f"pacos {name}", *options, *NO_HYDRA_OUTPUT, *overrides]
    hydra.main(version_base="1.3", config_path="pkg://conf", config_name=name)(job)()
    return max(codes, default=EXIT_DONE)
