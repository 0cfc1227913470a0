"""The run directory: the one place that knows the names of its files and who may write them."""

from __future__ import annotations

import fcntl
import importlib.metadata
import math
import os
import platform
import secrets
import subprocess
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import IO, Any

from pacos.configs.frozen import freeze, load_frozen
from pacos.configs.shared import StageConfig, flatten, identity, identity_fields, run_name
from pacos.errors import EXIT_CRASH, EXIT_SAVED, UserError
from pacos.files import append_jsonl, read_json, read_jsonl, sha256, write_json
from pacos.tracking import metrics
from pacos.tracking.history import last_record

VERSIONED = ("pacos", "torch", "deepspeed", "accelerate", "transformers", "datasets", "lm_eval")
"""Packages whose versions change results."""


class State(Enum):
    """Where a run stands."""

    created = "created"
    running = "running"
    saved = "saved"
    done = "done"
    failed = "failed"


class RunDir:
    """Paths and records of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.metrics = path / "metrics.jsonl"
        self.attempts = path / "attempts.jsonl"
        self.status = path / "status.json"
        self.result = path / "result.json"
        self.stop = path / "STOP"
        self.job_script = path / "job.sbatch"
        self.job_id = path / "job.id"
        self.data = path / "data"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.eval = path / "eval"
        self.report = path / "report.html"
        self._lock: IO[str] | None = None

    def changed_config(self) -> Path:
        """The next life's config where it differs from the first life's in what is free."""
        return self.path / f"config.{self.lives() + 1}.yaml"

    def config_of_next_life(self) -> Path:
        """The frozen config that the next life has to read."""
        changed = self.changed_config()
        return changed if changed.is_file() else self.config

    def lives(self) -> int:
        """How often the run was started."""
        return max((int(life["life"]) for life in self.all_lives()), default=0)

    def all_lives(self) -> list[dict[str, Any]]:
        """A record of each life, oldest first; it has no end while it runs, nor if it was killed.

        status.json holds the record of the newest life, attempts.jsonl those of all that ended.
        """
        ended = list(read_jsonl(self.attempts))
        newest = self._newest_life()
        if newest and all(life["life"] != newest["life"] for life in ended):
            return [*ended, newest]
        return ended

    def _newest_life(self) -> dict[str, Any]:
        record: dict[str, Any] = read_json(self.status) if self.status.is_file() else {}
        return record

    def newest_checkpoint(self) -> str | None:
        """Name of the newest whole checkpoint."""
        latest = self.checkpoints / "latest"
        return latest.read_text().strip() if latest.is_file() else None

    def life_of(self, job: Mapping[str, str | None]) -> int | None:
        """The life that a Slurm job gave the run (see `job_of_this_process`)."""
        for life in self.all_lives():
            if job.items() <= life.items():
                return int(life["life"])
        return None

    def state(self) -> State:
        """The last state that the run itself wrote."""
        return State(self._newest_life().get("state", State.created.value))

    def begin_life(self, fruitless_lives: int | None = None) -> int:
        """Record that this process takes up the run; returns the number of this life, from 1.

        The process holds the run's lock until the life ends, however it ends.

        Args:
            fruitless_lives: in a row that may have crashed without a newer checkpoint; None: any.

        Raises:
            UserError: another process has the run, or it comes to nothing again and again.
        """
        if not self._take_lock():
            raise UserError(
                f"run.name = {self.path.name}: another process is at work in {self.path}; wait for "
                f"it, or end it with: touch {self.stop}"
            )
        self._end_killed_life("killed: it did not come to say why")
        settings = sha256(self.config_of_next_life())
        if fruitless_lives is not None:
            self._check_progress(fruitless_lives, settings)
        number = self.lives() + 1
        life = {
            "life": number,
            "state": State.running.value,
            "start": time.time(),
            "host": platform.node(),
            "pid": os.getpid(),
            **job_of_this_process(),
            "settings": settings,
            "checkpoint": self.newest_checkpoint(),
            "fruitless_lives": fruitless_lives,
        }
        write_json(self.status, life)
        self.stop.unlink(missing_ok=True)
        return number

    def _take_lock(self) -> bool:
        """Whether this process is the only one at work in the run, from now on."""
        if self._lock is None:
            lock = (self.path / ".lock").open("a+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def _check_progress(self, allowed: int, settings: str) -> None:
        fruitless = self.fruitless_lives(settings)
        if len(fruitless) < allowed:
            return
        reasons = "\n".join(f"  life {life['life']}: {life['reason']}" for life in fruitless)
        newest = self.newest_checkpoint()
        at = f"after {newest}" if newest else "before the first checkpoint"
        raise UserError(
            f"health.fruitless_lives = {allowed}: the last {len(fruitless)} lives of {self.path} "
            f"came to nothing {at}, and another one would too:\n{reasons}\nMend the cause; then "
            "the same command with any setting changed goes on, this one raised if nothing else"
        )

    def fruitless_lives(self, settings: str | None = None) -> list[dict[str, Any]]:
        """Records of the last lives that came to nothing: the newest checkpoint is as it was.

        They crashed, or a job was to end before they had saved anything new. A person who stops a
        run, or has to put something right, is another matter.

        Args:
            settings: digest of the config that counts, as a person who tries another one is at
                work on the cause; None: that of the last life.
        """
        lives = self.all_lives()
        settings = settings or (lives[-1]["settings"] if lives else None)
        here = (self.newest_checkpoint(), settings)
        fruitless: list[dict[str, Any]] = []
        for life in reversed(lives):
            if (life["checkpoint"], life["settings"]) != here:
                break
            in_vain = (
                life.get("exit_code") == EXIT_SAVED and life["job"] and life["fruitless_lives"]
            )
            if in_vain or life.get("exit_code") == EXIT_CRASH:
                fruitless.insert(0, life)
        return fruitless

    def note(self, **facts: Any) -> None:
        """Add facts, such as the first step, to the record of this life."""
        write_json(self.status, {**self._newest_life(), **facts})

    def end_life(self, state: State, reason: str, exit_code: int) -> None:
        """Record how the newest life ended; if it is recorded already, that stands."""
        try:
            self._end({"state": state.value, "end": time.time()}, reason, exit_code)
        finally:
            self._leave()

    def end_killed_life(self, reason: str, patience: float = 0.0) -> None:
        """Record, from outside, the end of a life whose process is gone without a word.

        Args:
            reason: to be recorded, where there is none.
            patience: seconds for what is left of its processes to end.
        """
        until = time.monotonic() + patience
        while not (is_free := self._take_lock()) and time.monotonic() < until:
            time.sleep(0.05)
        if is_free:
            self._end_killed_life(reason)
            self._leave()

    def _leave(self) -> None:
        """Let another process take up the run."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _end_killed_life(self, reason: str) -> None:
        """With the last step that it made and its last sign of being alive."""
        life = self._newest_life()
        if life.get("state") != State.running.value:
            return
        signs = [path.stat().st_mtime for path in (self.status, self.metrics) if path.is_file()]
        facts: dict[str, Any] = {"state": State.failed.value, "end": max(signs)}
        last = last_record(self.metrics)
        if last is not None and last[metrics.STEP] >= life.get("first_step", math.inf):
            facts["last_step"] = last[metrics.STEP]
        self._end(facts, reason, EXIT_CRASH)

    def _end(self, facts: Mapping[str, Any], reason: str, exit_code: int) -> None:
        life = self._newest_life()
        recorded = [one for one in read_jsonl(self.attempts) if one["life"] == life["life"]]
        if not recorded:
            recorded = [{**life, **facts, "exit_code": exit_code, "reason": reason}]
            append_jsonl(self.attempts, recorded)
        write_json(self.status, recorded[0])

    def end_of_life(self, life: int) -> tuple[int, str] | None:
        """Exit code and reason that a life gave for its end; None if it never came to say it."""
        for record in read_jsonl(self.attempts):
            if record["life"] == life:
                return record["exit_code"], record["reason"]
        return None

    def add_inputs(self, inputs: Mapping[str, Path], **facts: Any) -> None:
        """Add digests of input files and other facts to the manifest."""
        manifest = read_json(self.manifest)
        for name, path in inputs.items():
            manifest["inputs"][name] = {"path": str(path), "sha256": sha256(path)}
        manifest.update(facts)
        write_json(self.manifest, manifest)


def job_of_this_process() -> dict[str, str | None]:
    """The Slurm job around this process as squeue names it, its requeues, and its nodes."""
    get = os.environ.get
    array, task = get("SLURM_ARRAY_JOB_ID"), get("SLURM_ARRAY_TASK_ID")
    return {
        "job": get("SLURM_JOB_ID") if array is None else f"{array}_{task}",
        "restart": get("SLURM_RESTART_COUNT"),
        "nodes": get("SLURM_JOB_NODELIST"),
    }


def run_path(config: StageConfig) -> Path:
    """Where the run of this config lies."""
    return Path(config.run.root).absolute() / run_name(config)


def find_run(config: StageConfig) -> RunDir:
    """The run of a checked config, whether it is there yet or not; nothing is written.

    Raises:
        UserError: the directory belongs to a run with another identity; the keys are listed.
    """
    path = run_path(config)
    run = RunDir(path)
    config.run.name, config.run.root = path.name, str(path.parent)
    if run.config.is_file():
        _check_identity(run, config)
    elif path.exists() and any(path.iterdir()):
        raise UserError(
            f"run.name = {path.name}: {path} is not empty and holds no run; "
            "choose another run.name, or move the folder away"
        )
    return run


def open_run(config: StageConfig) -> RunDir:
    """Create the run directory of a checked config, or continue the run that is there.

    Raises:
        UserError: the directory belongs to a run with another identity (the keys are listed), or
            cannot be written.
    """
    try:
        run = find_run(config)
        path = config_path(run, config)
        if not run.config.is_file():
            run.path.mkdir(parents=True, exist_ok=True)
            write_json(run.manifest, _manifest(config))
            freeze(config, path)
        elif path != run.config:
            freeze(config, path)
        else:
            run.changed_config().unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"run.root = {config.run.root}: {run_path(config)} cannot be written: "
            f"{error.strerror}; free space there, get the right to write there, or choose another "
            "run.root"
        ) from error
    return run


def config_path(run: RunDir, config: StageConfig) -> Path:
    """Where a config of the run is frozen: in a file of its own if it is not the first life's."""
    if run.config.is_file() and flatten(load_frozen(run.config, type(config))) != flatten(config):
        return run.changed_config()
    return run.config


def _check_identity(run: RunDir, config: StageConfig) -> None:
    old, new = identity_fields(load_frozen(run.config, type(config))), identity_fields(config)
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        lines = [f"  {key}: {old.get(key)} there, {new.get(key)} now" for key in differing]
        raise UserError(
            f"run.name = {run.path.name}: {run.path} holds a run with another identity; choose "
            "another run.name, or repeat the run's own values. These keys differ:\n"
            + "\n".join(lines)
        )


def _manifest(config: StageConfig) -> dict[str, Any]:
    return {
        "stage": config.STAGE,
        "identity": identity(config),
        "created": time.time(),
        "folder": os.getcwd(),
        "wandb_id": os.environ.get("WANDB_RUN_ID") or secrets.token_hex(6),
        "git_commit": git_commit(),
        "versions": package_versions(),
        "hardware": {
            "host": platform.node(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        "inputs": {},
    }


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that change results, where installed."""
    versions = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """Commit of the checkout that pacos runs from; None for an installed wheel."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
