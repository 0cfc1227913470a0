"""The W&B mirror. The only module that imports wandb, which only rank 0 does."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Callable
from typing import Any

from pacos.configs.tracking import TrackingConfig, TrackingMode
from pacos.errors import first_line
from pacos.files import read_json, read_jsonl
from pacos.run_paths import RunPaths
from pacos.tracking.metrics import STEP
from pacos.tracking.protocol import Record

log = logging.getLogger(__name__)

INIT_TIMEOUT_SECONDS = 60
"""Longest wait for the server when a life begins; after it the life is recorded offline."""

FINISH_TIMEOUT_SECONDS = 30
"""Longest wait for the server when a life ends: Slurm may be about to kill the job."""


FLUSH_SECONDS = 1.0
"""Seconds of offline records that a kill may lose; W&B's default is 15."""


class WandbTracker:
    """Mirrors records to one W&B run. A failure turns the mirror off and never stops the run."""

    def __init__(self, config: TrackingConfig, run: RunPaths, settings: Record) -> None:
        """Prepare; `begin` or `upload` opens the run.

        Args:
            config: project, team and mode.
            run: the run to mirror.
            settings: the run's config by dotted keys, shown by W&B.
        """
        self._run: Any = None
        self._config = config
        self._run_paths = run
        self._settings = settings
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

    def begin(self) -> None:
        """Open the W&B run for this life: offline if configured, or without a server."""
        online = self._config.mode is TrackingMode.online
        if online and not has_api_key():
            log.warning(f"WANDB_API_KEY is not set: W&B runs offline; {self._later}")
            online = False
        if not online or not self._go_online():
            self._guard(lambda: self._open("offline"))

    @property
    def _later(self) -> str:
        return f"upload it later with: pacos sync {self._run_paths.path}"

    def _go_online(self) -> bool:
        import wandb

        try:
            self._open("online")
            self._catch_up()
        except Exception as error:  # noqa: BLE001 - the mirror must not stop the run
            log.warning(f"W&B cannot be reached ({first_line(error)}); {self._later}")
            # Otherwise the client would refuse to open the same id offline.
            wandb.teardown()
            return False
        return True

    def upload(self) -> int:
        """Send what the server lacks of the run; return the number of steps.

        Raises:
            Exception: whatever W&B raises. Steps sent before that stay at the server.
        """
        self._open("online")
        sent = self._catch_up()
        self._run.finish(exit_code=0)
        return sent

    def _open(self, mode: str) -> None:
        import wandb

        self._run = wandb.init(
            project=self._config.project,
            entity=self._config.entity,
            group=self._config.group,
            name=self._run_paths.path.name,
            id=run_id(self._run_paths),
            dir=str(self._run_paths.path),
            config=dict(self._settings),
            mode=mode,  # type: ignore[arg-type]
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(
                init_timeout=INIT_TIMEOUT_SECONDS,
                finish_timeout=FINISH_TIMEOUT_SECONDS,
                finish_timeout_raises=True,
                x_transaction_log_flush_interval=FLUSH_SECONDS,
                console="off",
                x_disable_stats=True,
                # The remote URL of a checkout may contain a token.
                disable_git=True,
            ),
        )
        self._run.define_metric("*", step_metric=STEP)

    def _catch_up(self) -> int:
        """Send what the server lacks: offline lives, and the last seconds of a killed one."""
        known = self._run.summary.get(STEP) if self._run.starting_step else None
        # The server's summary may be one step ahead of its history.
        missing = [
            record
            for record in read_jsonl(self._run_paths.metrics)
            if known is None or record[STEP] >= known
        ]
        for record in missing:
            self._run.log(dict(record))
        return len(missing)

    def log(self, record: Record) -> None:
        """Send one record.

        `step` is a metric and the axis of the others, not W&B's own step, which must not decrease:
        steps that a resume repeats would be dropped.
        """
        if self._run is not None:
            self._guard(lambda: self._run.log(dict(record)))

    def close(self, exit_code: int) -> None:
        if self._run is not None:
            self._guard(lambda: self._run.finish(exit_code=exit_code))

    def _guard(self, act: Callable[[], None]) -> None:
        """Call W&B; on any error turn the mirror off for the rest of this life."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - any failure of the mirror ends the mirror only
            log.warning(
                f"W&B is off for the rest of this life ({first_line(error)}); "
                f"{self._run_paths.metrics} has everything: {self._later}"
            )
            self._run = None


def run_id(run: RunPaths) -> str:
    """Return the run's id at W&B: the same in every life, unless WANDB_RUN_ID names another."""
    run_id: str = os.environ.get("WANDB_RUN_ID") or read_json(run.manifest)["wandb_id"]
    return run_id


def has_api_key() -> bool:
    """Return True if an API key is in the environment, or where `wandb login` stores it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
