"""The W&B mirror. The only file that imports wandb, and only on rank 0."""

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
"""Longest wait for the server when a life begins; after it the life is kept here for later."""

FINISH_TIMEOUT_SECONDS = 30
"""Longest wait for the server when a life ends: it may have been asked to make room."""


FLUSH_SECONDS = 1.0
"""What a kill may cost of what is kept for later; W&B's own value is 15 s."""


class WandbTracker:
    """Mirrors records to one W&B run. A failure turns the mirror off and never stops training."""

    def __init__(self, config: TrackingConfig, run: RunPaths, settings: Record) -> None:
        """Prepare; `begin` or `upload` opens the run.

        Args:
            config: project, team, and whether the server is to be reached.
            run: mirrored.
            settings: of the run, as W&B shows them.
        """
        self._run: Any = None
        self._config = config
        self._run_paths = run
        self._settings = settings
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

    def begin(self) -> None:
        """Open the run for a life; offline if the server is not to be reached, or cannot be."""
        online = self._config.mode is TrackingMode.online
        if online and not has_api_key():
            log.warning(f"no WANDB_API_KEY: W&B runs offline; {self._later}")
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
            # Or the id would count as in use.
            wandb.teardown()
            return False
        return True

    def upload(self) -> int:
        """Send what the server lacks of a run; returns the number of steps.

        Raises:
            Exception: whatever W&B raises; what was sent is there.
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
                # The address of a checkout may hold a token.
                disable_git=True,
            ),
        )
        self._run.define_metric("*", step_metric=STEP)

    def _catch_up(self) -> int:
        """Send what the server lacks: lives offline, the last seconds of one that was killed."""
        known = self._run.summary.get(STEP) if self._run.starting_step else None
        # Its summary may be ahead of its lines by one.
        lacking = [
            record
            for record in read_jsonl(self._run_paths.metrics)
            if known is None or record[STEP] >= known
        ]
        for record in lacking:
            self._run.log(dict(record))
        return len(lacking)

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
            log.warning(
                f"W&B is off for the rest of this life ({first_line(error)}); "
                f"{self._run_paths.metrics} has everything: {self._later}"
            )
            self._run = None


def run_id(run: RunPaths) -> str:
    """The id of the run at W&B, the same in every life unless the environment names another."""
    named: str = os.environ.get("WANDB_RUN_ID") or read_json(run.manifest)["wandb_id"]
    return named


def has_api_key() -> bool:
    """Whether there is one, in the environment or where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
