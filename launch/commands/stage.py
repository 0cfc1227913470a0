"""From a command line to a checked config to a run: one Hydra process in front."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from launch.config import SCHEMA_OF, SCHEMAS, AnyConfig
from launch.dispatch import dispatch
from launch.dry_run import show, show_points
from launch.plan.fit import compose_fitting, refuse_if_too_large
from launch.sweep import expand
from launch.sweeps.runs import begin_sweep
from launch.sweeps.search import is_search, search
from pacos.configs.compose import check, register
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, UserError

DRY_RUN = "--dry-run"
MULTIRUN = ("-m", "--multirun")

NO_OUTPUT = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)
"""Runs keep their own config. Ahead of the user's words, so that these win."""


def run_stage(name: str, arguments: Sequence[str]) -> int:
    """Run one command line of a stage: overrides alone, or with options.

    Raises:
        UserError: what it asks for cannot be.
    """
    schema = SCHEMA_OF[name]
    options = [word for word in arguments if word.startswith("-")]
    words = [word for word in arguments if not word.startswith("-")]
    is_dry, is_sweep = DRY_RUN in options, any(option in MULTIRUN for option in options)
    others = [option for option in options if option not in (DRY_RUN, *MULTIRUN)]
    if others:
        if is_dry or is_sweep:
            raise UserError(f"{others[0]} does not go together with {DRY_RUN} or -m")
        return _run_hydra(schema, arguments)
    if is_sweep and is_search(words):
        if is_dry:
            raise UserError(f"{DRY_RUN}: a search has no points yet; leave out search=…")
        return search(schema, words)
    if is_sweep:
        points = expand(schema, words)
        return show_points(points) if is_dry else begin_sweep(points)
    config = compose_fitting(schema, words)
    return show(config) if is_dry else dispatch(config)


def _run_hydra(schema: type[AnyConfig], arguments: Sequence[str]) -> int:
    """Let Hydra take `--cfg job` and its other options; its job comes back to `dispatch`."""
    register(SCHEMAS)
    codes: list[int] = []

    def job(composed: DictConfig) -> None:
        try:
            config = check(composed, schema)
            refuse_if_too_large(config)
            codes.append(dispatch(config))
        except UserError as error:
            print(f"pacos: {error}", file=sys.stderr)
            codes.append(EXIT_USER_ERROR)

    overrides = [word for word in arguments if "=" in word and not word.startswith("-")]
    options = [word for word in arguments if word not in overrides]
    sys.argv = [f"pacos {schema.STAGE}", *options, *NO_OUTPUT, *overrides]
    hydra.main(version_base="1.3", config_path="pkg://conf", config_name=schema.STAGE)(job)()
    return max(codes, default=EXIT_DONE)
