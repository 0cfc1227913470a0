"""`pacos sync`: send to W&B what it lacks of runs, from their metrics.jsonl.

python -m pacos.tracking.upload RUN…
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pacos.configs.tracking import TrackingConfig
from pacos.console import set_up_logging
from pacos.errors import EXIT_DONE, UserError, exit_with, first_line
from pacos.run_paths import RunPaths
from pacos.tracking.wandb import WandbTracker, has_api_key


def main(arguments: Sequence[str]) -> int:
    """Upload runs, pipelines and sweeps; return the exit code."""
    set_up_logging(is_main=True)
    try:
        for run in [run for path in arguments for run in runs_in(Path(path))]:
            upload(run)
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def runs_in(path: Path) -> list[RunPaths]:
    """Return the run in a folder, or the runs of a pipeline or sweep.

    Raises:
        UserError: the folder holds no run with metrics.
    """
    folders = [path, *sorted(path.glob("*"))]
    runs = [RunPaths(folder.absolute()) for folder in folders]
    with_metrics = [run for run in runs if run.manifest.is_file() and run.metrics.is_file()]
    if not with_metrics:
        raise UserError(f"{path}: holds no metrics of a run; give the folder of one: runs/NAME")
    return with_metrics


def upload(run: RunPaths) -> None:
    """Send to W&B what it lacks of a run.

    Raises:
        UserError: no API key is set, or W&B fails.
    """
    if not has_api_key():
        raise UserError("WANDB_API_KEY is not set; export the key of your account")
    config: Any = OmegaConf.to_container(OmegaConf.load(run.config))
    known = OmegaConf.merge(OmegaConf.structured(TrackingConfig), config["tracking"])
    tracking = OmegaConf.to_object(known)
    assert isinstance(tracking, TrackingConfig)
    try:
        sent = WandbTracker(tracking, run, dict(_flat(config))).upload()
    except Exception as error:  # the W&B client raises anything
        raise UserError(
            f"{run.path}: W&B failed ({first_line(error)}); the same command continues the upload"
        ) from error
    print(f"{run.path}: {sent} steps sent")


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            leaves += _flat(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", value))
    return leaves


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
