"""A sweep as a job array on a live Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacos.files import read_json
from pacos.run.lives import State
from pacos.run_paths import RunPaths
from tests.slurm.mini_slurm import MiniSlurm
from tests.slurm.site import PACOS, Site, ends


@pytest.fixture
def site(slurm: MiniSlurm, tmp_path: Path) -> Site:
    return Site(slurm, tmp_path)


@pytest.mark.slow
def test_a_sweep_is_an_array_whose_failed_point_is_resubmitted(site: Site) -> None:
    sweep = site.folder / "runs" / "scan"
    words = [*site.words("scan"), "optimizer.lr=0.1,0.2,1", "cluster.at_once=2"]
    (site.folder / "slow").touch()
    done = site.pacos("sft", "-m", *words)
    assert done.returncode == 0, done.stderr
    runs = [RunPaths(sweep / str(number)) for number in range(3)]
    jobs = [run.job_id.read_text().strip() for run in runs]
    array = jobs[0].partition("_")[0]
    assert jobs == [f"{array}_{number}" for number in range(3)]
    assert site.slurm.job(array)["ArrayTaskThrottle"] == "2"
    site.wait_for_step(runs[1])
    shown = site.pacos("status", "runs/scan").stdout
    assert f"job {jobs[1]} (RUNNING)" in shown
    assert "optimizer.lr" in shown
    site.slurm.run("scancel", "--signal=USR1", "--batch", jobs[1])
    site.wait(runs[1], State.saved)
    (site.folder / "slow").unlink()
    for job, state in zip(jobs, ["COMPLETED", "COMPLETED", "FAILED"], strict=True):
        assert site.wait_for_end(job)["JobState"] == state
    assert len(ends(runs[0])) == 1
    assert [end["job"] for end in ends(runs[1])] == [jobs[1], jobs[1]]
    assert read_json(runs[1].result)["objective"]["value"] == pytest.approx(0.2)

    shown = site.pacos("status", "runs/scan").stdout
    assert "2 done, 1 failed" in shown
    assert "the loss is not finite" in shown
    (site.folder / "mended").touch()
    again = site.pacos("resubmit", "runs/scan")
    assert "1 of 3 points" in again.stdout, again.stderr
    second = runs[2].job_id.read_text().strip()
    assert second != jobs[2]
    assert site.wait_for_end(second)["JobState"] == "COMPLETED"
    assert [len(ends(run)) for run in runs] == [1, 2, 2]
    assert "every point is done" in site.pacos("resubmit", "runs/scan").stdout


@pytest.mark.slow
def test_a_search_waits_for_its_jobs_and_goes_on_after_its_process_was_killed(site: Site) -> None:
    words = [*site.words("found"), "optimizer.lr=interval(0.1, 0.9)", "search=optuna"]
    words += ["hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"]
    (site.folder / "slow").touch()
    killed = site.attempt("timeout", "--signal=KILL", "20", *PACOS, "sft", "-m", *words)
    assert killed.returncode != 0
    sweep = site.folder / "runs" / "found"
    first = [RunPaths(sweep / name).job_id.read_text() for name in "01"]
    (site.folder / "slow").unlink()
    done = site.pacos("sft", "-m", *words)
    assert done.returncode == 0, done.stderr
    assert "4 done" in done.stdout
    assert [RunPaths(sweep / name).job_id.read_text() for name in "01"] == first
    values = [read_json(RunPaths(sweep / name).result)["objective"]["value"] for name in "0123"]
    assert f"best: {min(values):.6g}" in done.stdout
