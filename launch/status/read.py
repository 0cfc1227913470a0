"""State and progress of a run, from its own files and from Slurm's queue."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from launch.jobs.queue import Jobs
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics

RECENT_STEPS = 20
"""Last steps whose median time predicts the remaining time; a median ignores the odd slow step."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """State and progress of one run."""

    run: RunPaths
    stage: str
    state: str
    """One of done, saved, failed, killed, running, queued, not started."""
    done: int
    """Steps, or rows for data generation."""
    total: int | None
    """Steps or rows to do; None while unknown."""
    loss: float | None
    seconds_left: float | None
    """Estimate for a running run that makes steps; None for others."""
    note: str
    """Its job, or the reason for its state."""

    @property
    def is_active(self) -> bool:
        """True if it runs, or will without further command."""
        return self.state in ("running", "queued")

    @property
    def needs_work(self) -> bool:
        """True if it is neither done nor active."""
        return self.state != State.done.value and not self.is_active


def read_status(run: RunPaths, jobs: Jobs | None) -> RunStatus:
    """Read the status of an existing run.

    Args:
        run: the run.
        jobs: this user's jobs; None if Slurm does not answer.
    """
    stage = str(read_json(run.manifest)["stage"])
    records = list(read_jsonl(run.metrics))
    last = records[-1] if records else {}
    done, total = _progress(stage, last, _config(run))
    state, note = _state(run, jobs)
    return RunStatus(
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
    # libyaml is ten times faster than OmegaConf here, and a sweep has hundreds of configs.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    config: dict[str, Any] = yaml.load(run.config.read_text(encoding="utf-8"), Loader=loader)
    return config


def _progress(
    stage: str, last: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[int, int | None]:
    """Return what is done and the total, from the last line of metrics.jsonl."""
    if stage == "selfinstruct":
        return last.get(metrics.ACCEPTED, 0), config["target_rows"]
    done, total = last.get(metrics.STEP, 0), config.get("max_steps")
    if last.get(metrics.EPOCH):
        # Steps of an epoch follow from the packing of its rows. The recorded epoch fraction gives
        # them without reading the data.
        steps = round(done / last[metrics.EPOCH] * config["epochs"])
        total = steps if total is None else min(steps, total)
    return done, total


def _seconds_left(
    records: Sequence[Mapping[str, Any]], done: int, total: int | None
) -> float | None:
    times: list[float] = [
        record[metrics.STEP_SECONDS] for record in records if metrics.STEP_SECONDS in record
    ]
    if total is None or not times:
        return None
    return max(total - done, 0) * statistics.median(times[-RECENT_STEPS:])


def _state(run: RunPaths, jobs: Jobs | None) -> tuple[str, str]:
    """Return the state and a note on it. Slurm's queue overrules what the run recorded last."""
    state = Lives(run).state()
    job = None
    if run.job_id.is_file():
        job = (jobs or {}).get(run.job_id.read_text().strip())
    if job is not None and state is not State.done:
        return ("running" if job.state == "RUNNING" else "queued"), str(job)
    if state is State.running:
        return _running_or_killed(run, jobs)
    lost = "" if state is State.done else _lost_job(run, jobs)
    if state is State.created:
        return "not started", lost
    return state.value, lost or _last_reason(run)


def _running_or_killed(run: RunPaths, jobs: Jobs | None) -> tuple[str, str]:
    """Tell a running run from a killed one, which could not record its end."""
    lives = Lives(run)
    life = lives.all()[-1]
    host, job = life.get("host"), life.get("job")
    if job is not None:
        return (
            ("running", f"job {job}, unless it has ended")
            if jobs is None
            else ("killed", f"job {job} is gone")
        )
    if host != platform.node():
        return "running", f"on {host}, unless it was killed"
    if lives.is_locked():
        return "running", f"process {life.get('pid')}"
    return "killed", "its process is gone"


def _lost_job(run: RunPaths, jobs: Jobs | None) -> str:
    """Explain a job that is gone and never began a life of the run; empty if there is none."""
    if jobs is None or not run.job_id.is_file():
        return ""
    job = run.job_id.read_text().strip()
    if any(life.get("job") == job for life in Lives(run).all()):
        return ""
    log = run.slurm_log(job)
    if log.is_file():
        return f"job {job} ended before its ranks started, see {log}"
    return f"job {job} is gone and never started"


def _last_reason(run: RunPaths) -> str:
    reason = str(Lives(run).all()[-1].get("reason", ""))
    return "" if reason == "done" else reason
