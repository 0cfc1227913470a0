"""From a command line to a checked config to a run: one Hydra process in front."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from launch.config import SCHEMAS, PipelineConfig
from launch.dry_run import show
from launch.job_config import JOB_STAGES, JobConfig
from launch.local import run_here
from launch.pipeline import run_pipeline
from launch.slurm import submit_run
from pacos.compose import check, compose_checked, register
from pacos.config import Launcher
from pacos.errors import EXIT_DONE, EXIT_USER_ERROR, ConfigError, UserError
from pacos.run_dir import open_run

AnyConfig = JobConfig | PipelineConfig

SCHEMA_OF: dict[str, type[AnyConfig]] = {**JOB_STAGES, PipelineConfig.STAGE: PipelineConfig}

DRY_RUN = "--dry-run"

NO_OUTPUT = (
    "hydra.run.dir=.",
    "hydra.sweep.dir=${run.root}/sweeps/${now:%Y-%m-%d_%H-%M-%S}",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)
"""Runs keep their own config; Hydra writes only a sweep's multirun.yaml. Ahead of the user's words,
so that these win."""


def run_stage(name: str, arguments: Sequence[str]) -> int:
    """Run one command line of a stage: overrides alone, or with Hydra's own options."""
    schema = SCHEMA_OF[name]
    words = [word for word in arguments if word != DRY_RUN]
    is_dry = len(words) < len(arguments)
    if not any(word.startswith("-") for word in words):
        config = compose_checked(schema, SCHEMAS, words)
        if is_dry:
            show(config)
            return EXIT_DONE
        return dispatch(config)
    if is_dry:
        raise UserError(f"{DRY_RUN} shows what KEY=VALUE words would do, and takes no other option")
    return _run_hydra(schema, words)


def dispatch(config: AnyConfig) -> int:
    """Have the work of a checked config done, here or as a job; returns the exit code."""
    if isinstance(config, PipelineConfig):
        return run_pipeline(config, open_run(config))
    if config.cluster.launcher is Launcher.slurm:
        return submit_run(config)
    return run_here(config, open_run(config))


def _run_hydra(schema: type[AnyConfig], arguments: Sequence[str]) -> int:
    """Let Hydra take `-m`, `--cfg job` and its other options; its jobs come back to `dispatch`."""
    register(SCHEMAS)
    _check_points(schema, arguments)
    codes: list[int] = []

    def job(composed: DictConfig) -> None:
        try:
            codes.append(dispatch(check(composed, schema)))
        except UserError as error:
            print(f"pacos: {error}", file=sys.stderr)
            codes.append(EXIT_USER_ERROR)

    overrides = [word for word in arguments if "=" in word and not word.startswith("-")]
    options = [word for word in arguments if word not in overrides]
    sys.argv = [f"pacos {schema.STAGE}", *options, *NO_OUTPUT, *overrides]
    hydra.main(version_base="1.3", config_path="pkg://conf", config_name=schema.STAGE)(job)()
    return max(codes, default=EXIT_DONE)


def _check_points(schema: type[AnyConfig], arguments: Sequence[str]) -> None:
    """Check every point of a plain sweep before the first one starts.

    Raises:
        ConfigError: with the problems of all points.
    """
    overrides = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    if len(overrides) == len(arguments) or any(
        text.startswith(("-", "hydra")) for text in overrides
    ):
        return
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    problems = []
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
        for point in batch:
            try:
                compose_checked(schema, SCHEMAS, point)
            except ConfigError as error:
                problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ConfigError(problems)
