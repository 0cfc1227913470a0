"""Where runs and sweeps stand, from their own files and from Slurm's queue."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from launch.jobs.queue import Job
from launch.sweep import Sweep
from pacos.errors import UserError
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics

RECENT_STEPS = 20
"""Whose median time says how long the rest will take."""

Jobs = Mapping[str, Job]
"""Jobs that have not ended, by id."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands."""

    run: RunPaths
    stage: str
    state: str
    """done, saved, failed, killed, running, queued, or not begun."""
    done: int
    """Steps, or rows that were generated."""
    total: int | None
    loss: float | None
    seconds_left: float | None
    """Of a run that makes steps."""
    note: str
    """Its job, or why it stands where it does."""

    @property
    def is_at_work(self) -> bool:
        """Whether somebody works on it, or will without being asked."""
        return self.state in ("running", "queued")

    @property
    def needs_work(self) -> bool:
        """Whether it is neither done nor about to be."""
        return self.state != State.done.value and not self.is_at_work


def read_status(run: RunPaths, jobs: Jobs | None) -> Status:
    """Where a run stands.

    Args:
        run: that is there.
        jobs: of this user; None where no Slurm answers.
    """
    stage = str(read_json(run.manifest)["stage"])
    records = list(read_jsonl(run.metrics))
    last = records[-1] if records else {}
    done, total = _progress(stage, last, _config(run))
    state, note = _state(run, jobs)
    return Status(
        run=run,
        stage=stage,
        state=state,
        done=done,
        total=total,
        loss=last.get(metrics.LOSS),
        seconds_left=_seconds_left(records, done, total) if state == "running" else None,
        note=note,
    )


def _config(run: RunPaths) -> dict[str, Any]:
    # Ten times faster than OmegaConf, and a sweep has many.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    config: dict[str, Any] = yaml.load(run.config.read_text(encoding="utf-8"), Loader=loader)
    return config


def _progress(
    stage: str, last: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[int, int | None]:
    """What is done, and of how much, which training knows after its first step."""
    if stage == "selfinstruct":
        return last.get(metrics.ACCEPTED, 0), config["target_rows"]
    done, total = last.get(metrics.STEP, 0), config.get("max_steps")
    if last.get(metrics.EPOCH):
        steps = round(done / last[metrics.EPOCH] * config["epochs"])
        total = steps if total is None else min(steps, total)
    return done, total


def _seconds_left(
    records: Sequence[Mapping[str, Any]], done: int, total: int | None
) -> float | None:
    times: list[float] = [
        one[metrics.STEP_SECONDS] for one in records if metrics.STEP_SECONDS in one
    ]
    if total is None or not times:
        return None
    return max(total - done, 0) * statistics.median(times[-RECENT_STEPS:])


def _state(run: RunPaths, jobs: Jobs | None) -> tuple[str, str]:
    state = Lives(run).state()
    job = None
    if run.job_id.is_file():
        job = (jobs or {}).get(run.job_id.read_text().strip())
    if job is not None and state is not State.done:
        return ("running" if job.state == "RUNNING" else "queued"), str(job)
    if state is State.running:
        return _running(run, jobs)
    lost = "" if state is State.done else _lost_job(run, jobs)
    if state is State.created:
        return "not begun", lost
    return state.value, lost or _last_reason(run)


def _running(run: RunPaths, jobs: Jobs | None) -> tuple[str, str]:
    """Whether a run that says so is at work: a killed one cannot say otherwise."""
    lives = Lives(run)
    began = lives.all()[-1]
    host, job = began.get("host"), began.get("job")
    if job is not None:
        return (
            ("running", f"job {job}, if it has not ended")
            if jobs is None
            else ("killed", f"job {job} is gone")
        )
    if host != platform.node():
        return "running", f"on {host}, if it was not killed"
    if lives.is_locked():
        return "running", f"process {began.get('pid')}"
    return "killed", "its process is gone"


def _lost_job(run: RunPaths, jobs: Jobs | None) -> str:
    """What became of the run's job if it is gone and the ranks never came to the run."""
    if jobs is None or not run.job_id.is_file():
        return ""
    job = run.job_id.read_text().strip()
    if any(life.get("job") == job for life in Lives(run).all()):
        return ""
    log = run.slurm_log(job)
    if log.is_file():
        return f"job {job} ended before its ranks began, see {log}"
    return f"job {job} is gone, and never began"


def _last_reason(run: RunPaths) -> str:
    reason = str(Lives(run).all()[-1].get("reason", ""))
    return "" if reason == "done" else reason


def find(folder: Path) -> list[Sweep | RunPaths]:
    """The sweeps and runs right below a folder, newest last."""
    if not folder.is_dir():
        return []
    found: list[Sweep | RunPaths] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime):
        if Sweep(path).exists:
            found.append(Sweep(path))
        elif RunPaths(path).manifest.is_file():
            found.append(RunPaths(path))
    return found


def named(path: Path) -> Sweep | RunPaths:
    """The sweep or run that a person names.

    Raises:
        UserError: the folder is neither.
    """
    if Sweep(path).exists:
        return Sweep(path.absolute())
    if RunPaths(path).manifest.is_file():
        return RunPaths(path.absolute())
    raise UserError(f"{path}: neither a run nor a sweep; give the folder of one, such as runs/demo")
