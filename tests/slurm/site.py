"""A user's folder on the login node of the test cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pacos.files import read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from tests.conftest import ROOT
from tests.slurm.mini_slurm import MiniSlurm

PACOS = [sys.executable, "-m", "launch.cli"]


class Site:
    """A folder to run `pacos` in, with the site's env.sh."""

    def __init__(self, slurm: MiniSlurm, folder: Path, *, stand_in: bool = True) -> None:
        self.slurm, self.folder = slurm, folder
        lines = [f"export PYTHONPATH={ROOT}"]
        if stand_in:
            lines.append(f"PACOS_RUN=({sys.executable} -m tests.slurm.stand_in)")
        (folder / "env.sh").write_text("\n".join(lines) + "\n")
        (folder / "rows.jsonl").write_text("{}\n")

    def pacos(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run pacos as a user types it."""
        return self.attempt(*PACOS, *words, **environment)

    def attempt(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run any command in the folder."""
        here = {"PYTHONPATH": str(ROOT), "PACOS_ENV": str(self.folder / "env.sh")}
        return self.slurm.attempt(*words, cwd=self.folder, **{**here, **environment})

    def words(self, name: str, *more: str) -> list[str]:
        """Return the overrides of a small run on two nodes."""
        return [
            *("cluster=slurm", "cluster.nodes=2", "cluster.ranks_per_node=1"),
            *("cluster.threads_per_rank=1", "model=tiny", "data.path=rows.jsonl", "max_steps=20"),
            *(f"run.name={name}", *more),
        ]

    def pipeline(self, name: str, *more: str) -> list[str]:
        """Return the overrides of a pipeline of jobs, with the training of `words`."""
        small = [
            *("nodes=2", "ranks_per_node=1", "threads_per_rank=1", "time_limit=01:00:00"),
            *("grace_seconds=60",),
        ]
        return [
            *("where=cluster", "model@sft.model=tiny", "sft.max_steps=20", f"run.name={name}"),
            *("sft.model.path=embedded:smollm2-135m-instruct", "eval.cluster.ranks_per_node=1"),
            *(f"sft.cluster.{word}" for word in small),
            *more,
        ]

    def submit(self, name: str, *more: str) -> tuple[RunPaths, str]:
        """Submit a run; return it with the id of its job."""
        done = self.pacos("sft", *self.words(name, *more))
        assert done.returncode == 0, done.stderr
        run = RunPaths(self.folder / "runs" / name)
        return run, run.job_id.read_text().strip()

    def wait(self, run: RunPaths, state: State, seconds: float = 60) -> None:
        """Wait until the run is in a state."""
        self.slurm.until(
            lambda: Lives(run).state() is state, f"{run.path.name} is {state.value}", seconds
        )

    def wait_for_step(self, run: RunPaths, step: int = 1, seconds: float = 60) -> None:
        """Wait until the run has made steps."""

        def made() -> bool:
            return len([*read_jsonl(run.metrics)]) >= step

        self.slurm.until(made, f"{run.path.name} made {step} steps", seconds)

    def wait_for_lives(self, run: RunPaths, lives: int, seconds: float = 120) -> None:
        """Wait until the run has begun that many lives."""
        what = f"{run.path.name} has {lives} lives"
        self.slurm.until(lambda: Lives(run).count() >= lives, what, seconds)

    def wait_for_end(self, job: str, seconds: float = 60) -> dict[str, str]:
        """Wait until a job has ended; return its record in Slurm."""
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"}
        self.slurm.until(
            lambda: self.slurm.job(job)["JobState"] in over, f"{job} has ended", seconds
        )
        return self.slurm.job(job)


def ends(run: RunPaths) -> list[dict[str, object]]:
    """Return the records of the lives that have ended."""
    return list(read_jsonl(run.attempts))
