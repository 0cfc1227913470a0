"""A pipeline as a chain of jobs on a live Slurm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pacos.run.lives import State
from pacos.run_paths import RunPaths
from tests.slurm.mini_slurm import MiniSlurm
from tests.slurm.site import Site, ends

PARTS = ("selfinstruct", "sft", "eval")


@pytest.fixture
def site(slurm: MiniSlurm, tmp_path: Path) -> Site:
    return Site(slurm, tmp_path)


@pytest.mark.slow
def test_a_part_that_fails_names_itself_and_the_same_command_continues(site: Site) -> None:
    words = site.pipeline("whole", "sft.optimizer.lr=1")
    done = site.pacos("pipeline", *words)
    assert done.returncode == 0, done.stderr
    runs = [RunPaths(site.folder / "runs" / "whole" / name) for name in PARTS]
    jobs = [run.job_id.read_text().strip() for run in runs]
    assert all(
        f"{name:<12} job {job}" in done.stdout for name, job in zip(PARTS, jobs, strict=True)
    )
    states = [site.wait_for_end(job)["JobState"] for job in jobs]
    assert states == ["COMPLETED", "FAILED", "CANCELLED"]
    shown = site.pacos("status", "runs/whole").stdout
    assert "the loss is not finite" in shown
    assert "run the same command again to continue it" in shown

    (site.folder / "mended").touch()
    again = site.pacos("pipeline", *words)
    assert again.returncode == 0, again.stderr
    assert "selfinstruct" not in again.stdout
    whole = RunPaths(site.folder / "runs" / "whole")
    site.wait(whole, State.done)
    assert whole.report.is_file()
    assert [len(ends(run)) for run in runs] == [1, 2, 1]


@pytest.mark.slow
@pytest.mark.parametrize("requeue", ["--requeue", "--no-requeue"])
def test_parts_wait_for_one_that_is_stopped_and_requeued(site: Site, requeue: str) -> None:
    (site.folder / "slow").touch()
    done = site.pacos("pipeline", *site.pipeline("cut", f"sft.cluster.options=[{requeue}]"))
    assert done.returncode == 0, done.stderr
    training, evaluation = (RunPaths(site.folder / "runs" / "cut" / name) for name in PARTS[1:])
    site.wait_for_step(training)
    (site.folder / "slow").unlink()
    job = training.job_id.read_text().strip()
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    site.wait(evaluation, State.done)
    assert [end["state"] for end in ends(training)] == ["saved", "done"]
    assert (training.job_id.read_text().strip() == job) == (requeue == "--requeue")


def test_a_refused_part_leaves_no_incomplete_chain(site: Site) -> None:
    words = site.pipeline("refused", "eval.cluster.ranks_per_node=9")
    done = site.pacos("pipeline", *words)
    assert done.returncode == 2
    assert "cluster.nodes = 1 of 9 ranks" in done.stderr
    assert not (site.folder / "runs").exists()
    # Not the whole queue: the last job of the test before may still be on its way out of it.
    assert "refused" not in site.slurm.run("squeue", "--noheader", "--format=%j")


def test_a_missing_api_key_is_reported_where_the_command_is_typed(site: Site) -> None:
    openai = ["generator@selfinstruct.generator=openai"]
    done = site.pacos("pipeline", *site.pipeline("keyless", *openai), OPENAI_API_KEY="")
    assert done.returncode == 2
    assert "selfinstruct.generator.endpoint.api_key_env = OPENAI_API_KEY" in done.stderr
    assert not (site.folder / "runs").exists()


def test_a_dry_run_shows_what_waits_for_what_and_does_nothing(site: Site) -> None:
    done = site.pacos("pipeline", *site.pipeline("shown"), "--dry-run")
    assert done.returncode == 0, done.stderr
    commands = [line for line in done.stdout.splitlines() if line.startswith("sbatch ")]
    waits = [re.findall("afterok:([A-Z_]+)", line) for line in commands]
    assert waits == [[], ["JOB_OF_SELFINSTRUCT"], ["JOB_OF_SFT"]]
    assert not (site.folder / "runs").exists()
