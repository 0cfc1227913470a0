"""What Slurm says of this user's jobs and of its partitions."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from pacos.run_paths import RunPaths

PATIENCE_SECONDS = 120
"""For an answer of Slurm's controller."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job, or a task of an array, that has not ended."""

    id: str
    state: str
    """Slurm's word, such as PENDING or RUNNING."""
    reason: str
    """Why it waits; `None` where it does not."""

    def __str__(self) -> str:
        reason = "" if self.reason in ("", "None") else f", {self.reason}"
        return f"job {self.id} ({self.state}{reason})"


def jobs() -> dict[str, Job] | None:
    """This user's jobs by id; None where no Slurm answers."""
    said = ask("squeue", "--me", "--noheader", "--array", "--format=%i|%T|%r")
    if said is None:
        return None
    found = [Job(*line.split("|", 2)) for line in said.splitlines()]
    return {job.id: job for job in found}


def job_of(run: RunPaths) -> Job | None:
    """The job that is to do the run's work, if Slurm has one that has not ended."""
    if not run.job_id.is_file():
        return None
    return (jobs() or {}).get(run.job_id.read_text().strip())


def partitions() -> str:
    """What there is to submit to, in words; empty where no Slurm answers."""
    said = ask("sinfo", "--noheader", "--format=%R: %D nodes of %c CPUs, %G, %m MB") or ""
    return "; ".join(dict.fromkeys(said.split("\n"))).strip("; ")


def ask(*words: str) -> str | None:
    """The output of a command of Slurm; None where it has none to give."""
    try:
        done = run_command(words)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def run_command(
    words: Sequence[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm, whatever comes of it."""
    return subprocess.run(
        words,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
