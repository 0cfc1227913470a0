"""The checkpoint that `pacos export` is asked for: found, read and verified. Changes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pacos.errors import UserError
from pacos.run_paths import RunPaths
from sft.checkpoints.manifest import CheckpointManifest
from sft.checkpoints.store import Store, damage, missing_files
from sft.configs.checkpoint import CheckpointConfig

LATEST, BEST = "latest", "best"

HASHING_THREADS = 4
"""Files hashed at a time. A core hashes about 1.5 GB/s, less than a parallel file system reads."""


def choose_checkpoint(run: RunPaths, asked: str) -> tuple[Path, CheckpointManifest]:
    """Return a checkpoint of a run, with its manifest.

    Args:
        run: the run.
        asked: `latest`, `best`, or the number of a step.

    Raises:
        UserError: there is no such checkpoint, or its manifest is damaged.
    """
    paths = Store(run.checkpoints, CheckpointConfig()).all()
    if not paths:
        raise UserError(
            f"{run.path} has no checkpoint; its own command continues it until the first"
        )
    losses = {path: _loss(path) for path in paths}
    if asked == LATEST:
        return paths[-1], _manifest(paths[-1], losses)
    if asked == BEST:
        best = min(paths, key=losses.__getitem__)
        if losses[best] == math.inf:
            raise UserError(
                f"--checkpoint best: no checkpoint of {run.path} has a validation loss; "
                f"{_there_are(losses)}"
            )
        return best, _manifest(best, losses)
    for path in paths:
        if asked.isdigit() and int(path.name.removeprefix("step-")) == int(asked):
            return path, _manifest(path, losses)
    raise UserError(
        f"--checkpoint {asked}: {run.path} has no such checkpoint; {_there_are(losses)}"
    )


def verify(folder: Path, manifest: CheckpointManifest) -> None:
    """Check that every file of a checkpoint is as it was written.

    Raises:
        UserError: one is missing or damaged.
    """
    faults = missing_files(folder, manifest)
    if not faults:
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            each = pool.map(lambda item: damage(folder, dict([item])), manifest.files.items())
            faults = [fault for found in each for fault in found]
    if faults:
        raise UserError(_damaged(folder, faults))


def _manifest(path: Path, losses: dict[Path, float]) -> CheckpointManifest:
    try:
        return CheckpointManifest.read(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{_damaged(path, [str(error)])}; {_there_are(losses)}") from error


def _damaged(folder: Path, faults: Sequence[str]) -> str:
    return f"{folder} is damaged ({'; '.join(faults[:3])}); name another with --checkpoint"


def _loss(path: Path) -> float:
    try:
        return CheckpointManifest.read(path).measured_loss
    except (OSError, ValueError, UserError):
        return math.inf


def _there_are(losses: dict[Path, float]) -> str:
    shown = []
    for path, loss in losses.items():
        step = int(path.name.removeprefix("step-"))
        shown.append(str(step) if loss == math.inf else f"{step} (validation loss {loss:.4f})")
    return f"there are: {', '.join(shown)}"
