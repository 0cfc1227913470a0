"""The lives of a run: their beginnings and ends, and the lock that admits one at a time."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pacos.errors import EXIT_CRASH, EXIT_SAVED, UserError
from pacos.files import append_jsonl, read_json, read_jsonl, sha256, write_json
from pacos.run.lock import Lock
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from pacos.tracking.history import last_record

LOCK_POLL_SECONDS = 0.05
"""Pause between attempts to take the lock of a run whose processes are about to end."""


class State(Enum):
    """The state that a run last recorded of itself."""

    created = "created"
    running = "running"
    saved = "saved"
    done = "done"
    failed = "failed"


class Lives:
    """All lives of one run, and the life of this process if it has begun one.

    The object that begins a life holds the run's lock, so keep it until that life ends.
    """

    def __init__(self, run: RunPaths) -> None:
        self.run = run
        self._lock = Lock(run.lock)

    def count(self) -> int:
        """Return the number of the newest life; 0 before the first."""
        return max((int(life["life"]) for life in self.all()), default=0)

    def all(self) -> list[dict[str, Any]]:
        """Return a record of each life, oldest first.

        A record has no end while its life runs, nor if that was killed. status.json holds the
        newest record, attempts.jsonl those of all lives that ended.
        """
        ended = list(read_jsonl(self.run.attempts))
        newest = self._newest()
        if newest and all(life["life"] != newest["life"] for life in ended):
            return [*ended, newest]
        return ended

    def _newest(self) -> dict[str, Any]:
        status = self.run.status
        record: dict[str, Any] = read_json(status) if status.is_file() else {}
        return record

    def of_job(self, job: Mapping[str, str | None]) -> int | None:
        """Return the life that a Slurm job gave the run, or None (see `job_of_this_process`)."""
        for life in self.all():
            if job.items() <= life.items():
                return int(life["life"])
        return None

    def end_of(self, life: int) -> tuple[int, str] | None:
        """Return the recorded exit code and reason of a life, or None if its end is not recorded.

        The life is always named, so that the record of an older one is never read as success.
        """
        for record in read_jsonl(self.run.attempts):
            if record["life"] == life:
                return record["exit_code"], record["reason"]
        return None

    def state(self) -> State:
        """Return the last recorded state; `running` also of a run that was killed."""
        return State(self._newest().get("state", State.created.value))

    def is_locked(self) -> bool:
        """Return True if a process works on the run. Never gets in the way of a life that begins.

        On a file system without cluster-wide locks only processes of this machine count.
        """
        return self._lock.is_taken()

    def changed_config(self) -> Path:
        """Return where the next life's config is frozen if it differs from the first life's."""
        return self.run.later_config(self.count() + 1)

    def next_config(self) -> Path:
        """Return the frozen config that the next life reads."""
        changed = self.changed_config()
        return changed if changed.is_file() else self.run.config

    def begin(self, fruitless_lives: int | None = None) -> int:
        """Record that this process works on the run; return the number of this life, from 1.

        The process holds the run's lock until the life ends, in whatever way.

        Args:
            fruitless_lives: how many lives in a row may have crashed without a newer checkpoint;
                None sets no limit.

        Raises:
            UserError: another process works on the run, or too many lives in a row were fruitless.
        """
        run = self.run
        if not self._lock.take():
            raise UserError(
                f"run.name = {run.path.name}: another process is at work in {run.path}; wait for "
                f"it, or end it with: touch {run.stop}"
            )
        try:
            return self._record_begin(fruitless_lives)
        except BaseException:
            self._lock.release()
            raise

    def _record_begin(self, fruitless_lives: int | None) -> int:
        run = self.run
        # This process holds the lock, so a life that still says `running` was killed.
        self._record_kill("killed: it recorded no reason")
        settings = sha256(self.next_config())
        if fruitless_lives is not None:
            self._check_progress(fruitless_lives, settings)
        number = self.count() + 1
        life = {
            "life": number,
            "state": State.running.value,
            "start": time.time(),
            "host": platform.node(),
            "pid": os.getpid(),
            **job_of_this_process(),
            "settings": settings,
            "checkpoint": run.newest_checkpoint(),
            "fruitless_lives": fruitless_lives,
        }
        write_json(run.status, life)
        # After the record: a stop request made before this life was for the one before it.
        run.stop.unlink(missing_ok=True)
        return number

    def note(self, **facts: Any) -> None:
        """Add facts, such as the first step, to the record of the newest life."""
        write_json(self.run.status, {**self._newest(), **facts})

    def end(self, state: State, reason: str, exit_code: int) -> None:
        """Record how the newest life ended, unless its end is recorded already."""
        try:
            self._record_end({"state": state.value, "end": time.time()}, reason, exit_code)
        finally:
            self._lock.release()

    def end_killed(self, reason: str, patience: float = 0.0) -> None:
        """Record the end of a life whose process is gone and recorded none; called by another one.

        Args:
            reason: recorded if there is none yet.
            patience: seconds to wait for the rest of the life's processes to end.
        """
        deadline = time.monotonic() + patience
        while not (is_free := self._lock.take()) and time.monotonic() < deadline:
            time.sleep(LOCK_POLL_SECONDS)
        if is_free:
            try:
                self._record_kill(reason)
            finally:
                self._lock.release()

    def fruitless(self, settings: str | None = None) -> list[dict[str, Any]]:
        """Return the records of the newest lives in a row that led to no newer checkpoint.

        A life counts if it crashed, or if Slurm ended its job before it saved anything new. One
        that a person stopped, or that named a mistake of the user, does not.

        Args:
            settings: digest of the config that counts: whoever changed the config is at work on
                the cause. None takes the config of the last life.
        """
        lives = self.all()
        settings = settings or (lives[-1]["settings"] if lives else None)
        current = (self.run.newest_checkpoint(), settings)
        fruitless: list[dict[str, Any]] = []
        for life in reversed(lives):
            if (life["checkpoint"], life["settings"]) != current:
                break
            # A limit of None (or 0) belongs to a stage that keeps its work without checkpoints.
            saved_nothing = (
                life.get("exit_code") == EXIT_SAVED and life["job"] and life["fruitless_lives"]
            )
            if saved_nothing or life.get("exit_code") == EXIT_CRASH:
                fruitless.insert(0, life)
        return fruitless

    def _check_progress(self, allowed: int, settings: str) -> None:
        fruitless = self.fruitless(settings)
        if len(fruitless) < allowed:
            return
        reasons = "\n".join(f"  life {life['life']}: {life['reason']}" for life in fruitless)
        newest = self.run.newest_checkpoint()
        since = f"a checkpoint after {newest}" if newest else "a first checkpoint"
        raise UserError(
            f"health.fruitless_lives = {allowed}: the last {len(fruitless)} lives of "
            f"{self.run.path} ended without {since}, and so would another one:\n{reasons}\n"
            "Fix the cause; then the same command with any setting changed continues the run. "
            "If nothing else needs to change, raise this one"
        )

    def _record_kill(self, reason: str) -> None:
        """Record a killed life's last step and last sign of activity. Needs the lock."""
        life = self._newest()
        if life.get("state") != State.running.value:
            return
        files = (self.run.status, self.run.metrics)
        signs = [path.stat().st_mtime for path in files if path.is_file()]
        # Nobody saw the end: the newest write is the last moment at which the life was certainly
        # there.
        facts: dict[str, Any] = {"state": State.failed.value, "end": max(signs)}
        last = last_record(self.run.metrics)
        # Without a first step, or before it, the last line is of an earlier life.
        if last is not None and last[metrics.STEP] >= life.get("first_step", math.inf):
            facts["last_step"] = last[metrics.STEP]
        self._record_end(facts, reason, EXIT_CRASH)

    def _record_end(self, facts: Mapping[str, Any], reason: str, exit_code: int) -> None:
        """Append to attempts.jsonl, then write status.json.

        A kill between the two leaves status.json at `running`; the next call finds the line in
        attempts.jsonl and writes only status.json, so that each life has one line.
        """
        life = self._newest()
        records = [
            record for record in read_jsonl(self.run.attempts) if record["life"] == life["life"]
        ]
        if not records:
            records = [{**life, **facts, "exit_code": exit_code, "reason": reason}]
            append_jsonl(self.run.attempts, records)
        write_json(self.run.status, records[0])


def job_of_this_process() -> dict[str, str | None]:
    """Return the Slurm job around this process: its id as squeue shows it, requeues and nodes."""
    get = os.environ.get
    array, task = get("SLURM_ARRAY_JOB_ID"), get("SLURM_ARRAY_TASK_ID")
    return {
        # squeue names the task of an array JOB_TASK; its SLURM_JOB_ID is another number.
        "job": get("SLURM_JOB_ID") if array is None else f"{array}_{task}",
        "restart": get("SLURM_RESTART_COUNT"),
        "nodes": get("SLURM_JOB_NODELIST"),
    }
