"""The W&B mirror. The only file that imports wandb, and only on rank 0."""

from __future__ import annotations

import hashlib
import logging
import netrc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pacos.config import TrackingConfig, TrackingMode
from pacos.tracking import Record

log = logging.getLogger(__name__)

INIT_TIMEOUT_SECONDS = 60
"""Longest wait for the server when the run starts; after it training goes on without W&B."""


class WandbTracker:
    """Mirrors records to one W&B run. A failure turns the mirror off and never stops training."""

    def __init__(self, config: TrackingConfig, folder: Path, settings: Record) -> None:
        self._run: Any = None
        mode = config.mode.value
        if config.mode is TrackingMode.online and not _has_api_key():
            log.warning("no WANDB_API_KEY: W&B runs offline; upload later with: pacos sync RUN")
            mode = "offline"
        self._guard(lambda: self._open(config, folder, settings, mode))

    def _open(self, config: TrackingConfig, folder: Path, settings: Record, mode: str) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._run = wandb.init(
            project=config.project,
            entity=config.entity,
            group=config.group,
            name=folder.name,
            id=os.environ.get("WANDB_RUN_ID", run_id(folder)),
            dir=str(folder),
            config=dict(settings),
            mode=mode,  # type: ignore[arg-type]
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(
                init_timeout=INIT_TIMEOUT_SECONDS, console="off", x_disable_stats=True
            ),
        )
        self._run.define_metric("*", step_metric="step")

    def log(self, record: Record) -> None:
        """Send one record; `step` is the axis, so steps done again after a resume are kept."""
        if self._run is not None:
            self._guard(lambda: self._run.log(dict(record)))

    def close(self, exit_code: int) -> None:
        if self._run is not None:
            self._guard(lambda: self._run.finish(exit_code=exit_code))

    def _guard(self, act: Callable[[], None]) -> None:
        """Whatever goes wrong inside a foreign service, the run goes on without it."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - any failure of the mirror ends the mirror only
            log.warning("W&B is off for the rest of this run: %s", error)
            self._run = None


def run_id(folder: Path) -> str:
    """The id of the run at W&B, the same in every life."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def _has_api_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
