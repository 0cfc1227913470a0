"""`pacos sync`: what W&B lacks of runs goes there, from their metrics.jsonl.

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
    """Upload runs, pipelines and sweeps; returns the exit code."""
    set_up_logging(is_main=True)
    try:
        for run in [run for path in arguments for run in runs_in(Path(path))]:
            upload(run)
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def runs_in(path: Path) -> list[RunPaths]:
    """The run of a folder; of a pipeline or a sweep, those in it.

    Raises:
        UserError: there is none, or none that measured anything.
    """
    folders = [path, *sorted(path.glob("*"))]
    runs = [RunPaths(folder.absolute()) for folder in folders]
    found = [run for run in runs if run.manifest.is_file() and run.metrics.is_file()]
    if not found:
        raise UserError(f"{path}: holds no metrics of a run; give the folder of one: runs/NAME")
    return found


def upload(run: RunPaths) -> None:
    """Send what W&B lacks of a run.

    Raises:
        UserError: there is no key, or the server cannot be reached.
    """
    if not has_api_key():
        raise UserError("no WANDB_API_KEY in the environment; export the key of your account")
    config: Any = OmegaConf.to_container(OmegaConf.load(run.config))
    known = OmegaConf.merge(OmegaConf.structured(TrackingConfig), config["tracking"])
    tracking = OmegaConf.to_object(known)
    assert isinstance(tracking, TrackingConfig)
    try:
        sent = WandbTracker(tracking, run, dict(_flat(config))).upload()
    except Exception as error:  # a foreign service raises anything
        raise UserError(
            f"{run.path}: W&B did not take it ({first_line(error)}); the same command goes on"
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
