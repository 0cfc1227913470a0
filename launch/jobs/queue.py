"""Queries to Slurm: this user's jobs and the cluster's partitions."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pacos.run_paths import RunPaths

TIMEOUT_SECONDS = 120
"""Limit on one Slurm command. sbatch itself waits and retries while the controller is busy."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job, or one task of a job array, that has not ended."""

    id: str
    state: str
    """State as squeue prints it, such as PENDING or RUNNING."""
    reason: str
    """Reason for waiting as squeue prints it; `None` for a job that runs."""

    def __str__(self) -> str:
        reason = "" if self.reason in ("", "None") else f", {self.reason}"
        return f"job {self.id} ({self.state}{reason})"


Jobs = Mapping[str, QueuedJob]
"""Jobs that have not ended, by id."""


def read_queue() -> Jobs | None:
    """Return this user's jobs by id, or None if Slurm does not answer."""
    output = slurm_output("squeue", "--me", "--noheader", "--array", "--format=%i|%T|%r")
    if output is None:
        return None
    jobs = [QueuedJob(*line.split("|", 2)) for line in output.splitlines()]
    return {job.id: job for job in jobs}


def job_of(run: RunPaths) -> QueuedJob | None:
    """Return the run's job if it is still queued or running."""
    if not run.job_id.is_file():
        return None
    return (read_queue() or {}).get(run.job_id.read_text().strip())


def describe_partitions() -> str:
    """Return a line on the partitions and their nodes, for error messages; empty without Slurm."""
    output = slurm_output("sinfo", "--noheader", "--format=%R: %D nodes of %c CPUs, %G, %m MB")
    return "; ".join(dict.fromkeys((output or "").split("\n"))).strip("; ")


def slurm_output(*command: str) -> str | None:
    """Return the standard output of a Slurm command, or None if it failed or is missing."""
    try:
        done = run_slurm(command)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def run_slurm(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Slurm command and return its result, whatever the exit code."""
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
