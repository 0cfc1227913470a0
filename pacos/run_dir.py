"""The run directory: the one place that knows the names of its files and who may write them."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import IO, Any

from pacos.config import StageConfig, flatten, identity, identity_fields, run_name
from pacos.errors import UserError
from pacos.files import append_jsonl, read_json, read_jsonl, sha256, write_json
from pacos.frozen import freeze, load_frozen

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
        self._facts: dict[str, Any] = {}

    def changed_config(self) -> Path:
        """The next life's config where it differs from the first life's in what is free."""
        return self.path / f"config.{self.lives() + 1}.yaml"

    def config_of_next_life(self) -> Path:
        """The frozen config that the next life has to read."""
        changed = self.changed_config()
        return changed if changed.is_file() else self.config

    def lives(self) -> int:
        """How often the run was started."""
        return sum(1 for record in read_jsonl(self.attempts) if record["event"] == "start")

    def newest_checkpoint(self) -> str | None:
        """Name of the newest whole checkpoint."""
        latest = self.checkpoints / "latest"
        return latest.read_text().strip() if latest.is_file() else None

    def life_of(self, job: Mapping[str, str | None]) -> int | None:
        """The life that a Slurm job gave the run (see `job_of_this_process`)."""
        for record in read_jsonl(self.attempts):
            if record["event"] == "start" and job.items() <= record.items():
                return int(record["life"])
        return None

    def state(self) -> State:
        """The last state that the run itself wrote."""
        if not self.status.is_file():
            return State.created
        return State(read_json(self.status)["state"])

    def begin_life(self) -> int:
        """Record that this process takes up the run; returns the number of this life, from 1.

        The process holds the run's lock until it ends, however it ends.

        Raises:
            UserError: another process has the run.
        """
        self._take_lock()
        life = self.lives() + 1
        record = {
            "event": "start",
            "life": life,
            "time": time.time(),
            "host": platform.node(),
            "pid": os.getpid(),
            "checkpoint": self.newest_checkpoint(),
            **job_of_this_process(),
        }
        append_jsonl(self.attempts, [record])
        self._write_status(State.running, life)
        self.stop.unlink(missing_ok=True)
        return life

    def _take_lock(self) -> None:
        self._lock = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"run.name = {self.path.name}: another process is at work in {self.path}; wait for "
                f"it, or end it with: touch {self.stop}"
            ) from error

    def note(self, **facts: Any) -> None:
        """Remember facts of this life, such as its last step, for the record of its end."""
        self._facts.update(facts)

    def end_life(self, state: State, reason: str, exit_code: int) -> None:
        """Record how this life ended."""
        life = self.lives()
        ended = {"event": "end", "life": life, "time": time.time(), "state": state.value}
        said = {"exit_code": exit_code, "reason": reason}
        append_jsonl(self.attempts, [{**ended, **said, **self._facts}])
        self._write_status(state, life)

    def end_of_life(self, life: int) -> tuple[int, str] | None:
        """Exit code and reason that a life gave for its end; None if it never came to say it."""
        for record in read_jsonl(self.attempts):
            if record["event"] == "end" and record["life"] == life:
                return record["exit_code"], record["reason"]
        return None

    def _write_status(self, state: State, life: int) -> None:
        write_json(self.status, {"state": state.value, "life": life, "time": time.time()})

    def add_inputs(self, inputs: Mapping[str, Path], **facts: Any) -> None:
        """Add digests of input files and other facts to the manifest."""
        manifest = read_json(self.manifest)
        for name, path in inputs.items():
            manifest["inputs"][name] = {"path": str(path), "sha256": sha256(path)}
        manifest.update(facts)
        write_json(self.manifest, manifest)


def job_of_this_process() -> dict[str, str | None]:
    """The Slurm job around this process, how often it was requeued, and its nodes."""
    names = {"job": "SLURM_JOB_ID", "restart": "SLURM_RESTART_COUNT", "nodes": "SLURM_JOB_NODELIST"}
    return {key: os.environ.get(name) for key, name in names.items()}


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
        UserError: the directory belongs to a run with another identity; the keys are listed.
    """
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


def derived_seed(seed: int, *parts: object) -> int:
    """A seed for one item, from the run's seed and what names the item; the same in every life."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
