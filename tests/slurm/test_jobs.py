"""Runs as jobs on a live Slurm: a job script from submission to the end of the run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from pacos.errors import EXIT_SAVED
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.tracking import metrics
from tests.conftest import ROOT
from tests.slurm.mini_slurm import MiniSlurm
from tests.slurm.site import Site, ends


@pytest.fixture
def site(slurm: MiniSlurm, tmp_path: Path) -> Site:
    return Site(slurm, tmp_path)


def steps(run: RunPaths) -> list[int]:
    return [record[metrics.STEP] for record in read_jsonl(run.metrics)]


def test_a_job_does_the_run_with_the_environment_that_ranks_need(site: Site) -> None:
    run, job = site.submit("plain", "cluster.grace_seconds=90", "cluster.threads_per_rank=3")
    assert site.wait_for_end(job)["JobState"] == "COMPLETED"
    assert Lives(run).state() is State.done
    assert steps(run) == list(range(1, 21))
    seen = read_json(run.path / "seen.json")
    assert seen["--main_process_ip"] in site.slurm.nodes
    assert int(seen["--main_process_port"]) == 10000 + int(job) % 20000
    assert seen["PET_SHUTDOWN_TIMEOUT"] == "90"
    assert "SIGUSR1" in seen["PET_SIGNALS_TO_HANDLE"]
    assert seen["cpus"] == "3"
    (life,) = read_jsonl(run.attempts)
    assert life["job"] == job
    assert life["nodes"] in site.slurm.job(job).values()

    again = site.pacos("sft", *site.words("plain"))
    assert again.returncode == 0
    assert "already done" in again.stdout

    run.status.unlink()
    held = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    refused = site.pacos("sft", *site.words("plain", "cluster.partition=none"))
    assert refused.returncode == 2
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == held


def test_the_signal_before_the_limit_saves_and_goes_on_in_the_same_job(site: Site) -> None:
    (site.folder / "slow").touch()
    run, job = site.submit("limited")
    site.wait_for_step(run)
    twice = site.pacos("sft", *site.words("limited"))
    assert f"already submitted as job {job} (RUNNING)" in twice.stdout
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    site.wait(run, State.saved)
    (site.folder / "slow").unlink()
    assert site.wait_for_end(job)["JobState"] == "COMPLETED"
    assert site.slurm.job(job)["Restarts"] == "1"
    assert [end["reason"] for end in ends(run)] == ["STOP file", "done"]
    assert steps(run) == list(range(1, 21))


def test_a_cancelled_run_saves_and_stays_ended_until_it_is_typed_again(site: Site) -> None:
    (site.folder / "slow").touch()
    run, job = site.submit("cancelled")
    site.wait_for_step(run)
    site.slurm.run("scancel", job)
    assert site.wait_for_end(job)["JobState"] == "CANCELLED"
    assert Lives(run).state() is State.saved
    assert site.slurm.job(job)["Restarts"] == "0"
    (site.folder / "slow").unlink()
    run, second = site.submit("cancelled")
    assert site.wait_for_end(second)["JobState"] == "COMPLETED"
    assert second != job
    assert steps(run) == list(range(1, 21))


def test_a_stop_by_hand_ends_the_job_with_85(site: Site) -> None:
    (site.folder / "slow").touch()
    run, job = site.submit("stopped")
    site.wait_for_step(run)
    run.stop.touch()
    ended = site.wait_for_end(job)
    assert ended["ExitCode"] == f"{EXIT_SAVED}:0"
    assert ended["Restarts"] == "0"


@pytest.mark.slow
def test_where_slurm_does_not_requeue_a_second_job_goes_on(site: Site) -> None:
    (site.folder / "slow").touch()
    run, job = site.submit("chained", "cluster.options=[--no-requeue]")
    site.wait_for_step(run)
    (site.folder / "slow").unlink()
    site.slurm.run("scancel", "--signal=USR1", "--batch", job)
    site.wait_for_end(job)
    second = run.job_id.read_text().strip()
    assert second != job
    assert site.wait_for_end(second)["JobState"] == "COMPLETED"
    assert steps(run) == list(range(1, 21))


def test_a_job_that_ends_before_its_ranks_says_where_to_look(site: Site) -> None:
    env = site.folder / "env.sh"
    env.write_text(f"{env.read_text()}echo no such module >&2\nexit 7\n")
    run, job = site.submit("lost")
    assert site.wait_for_end(job)["JobState"] == "FAILED"
    log = run.path / f"slurm-{job}.log"
    assert "no such module" in log.read_text()
    shown = site.pacos("status", str(run.path)).stdout
    assert f"job {job} ended before its ranks started, see {log}" in shown


def test_a_script_typed_by_hand_freezes_the_run_with_what_slurm_gave(site: Site) -> None:
    script = ROOT / "slurm" / "sft.sbatch"
    options = ["--nodes=2", "--gpus-per-node=2", "--cpus-per-task=2"]
    words = ["model=tiny", "data.path=rows.jsonl", "max_steps=5", "run.name=typed"]
    done = site.attempt("sbatch", "--parsable", *options, script, *words)
    assert done.returncode == 0, done.stderr
    assert site.wait_for_end(done.stdout.strip())["JobState"] == "COMPLETED"
    run = RunPaths(site.folder / "runs" / "typed")
    assert Lives(run).state() is State.done
    assert "ranks_per_node: 2" in run.config.read_text()
    assert "nodes: 2" in run.config.read_text()


def test_a_job_may_submit_a_run(site: Site) -> None:
    """The outer job's allocation must not become that of the new job."""
    words = ["--nodes=1", "--mem-per-cpu=100", "--gpus-per-node=1"]
    pacos = [sys.executable, "-m", "launch.cli", "sft"]
    done = site.attempt("srun", *words, *pacos, *site.words("inner", "cluster.memory=500"))
    assert done.returncode == 0, done.stderr
    run = RunPaths(site.folder / "runs" / "inner")
    assert site.wait_for_end(run.job_id.read_text().strip())["JobState"] == "COMPLETED"
    assert Lives(run).state() is State.done


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["cluster.partition=gpus"], "cluster.partition = gpus: Slurm: Invalid partition name"),
        (["cluster.ranks_per_node=9"], "cluster.nodes = 2 of 9 ranks"),
        (["cluster.options=['--reservation=mine']"], "reservation is invalid"),
    ],
    ids=["partition", "gpus", "refused"],
)
def test_a_refused_submission_says_why_and_leaves_nothing(
    site: Site, words: list[str], key: str
) -> None:
    before = sorted(site.folder.iterdir())
    done = site.pacos("sft", *site.words("refused", "batch.tokens=65536", *words))
    assert done.returncode == 2
    assert key in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(site.folder.iterdir()) == before


def test_a_controller_that_does_not_answer(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "slurm.conf"
    text = site.slurm.config.read_text()
    config.write_text(text.replace("MessageTimeout=10", "MessageTimeout=2\nSlurmctldPort=9"))
    shutil.copy(site.slurm.config.with_name("gres.conf"), tmp_path)
    done = site.pacos("sft", *site.words("alone"), SLURM_CONF=str(config))
    assert done.returncode == 2
    assert "controller does not answer" in done.stderr
    assert not (site.folder / "runs").exists()


@pytest.mark.slow
def test_the_time_limit_itself_ends_in_a_saved_run_that_goes_on(site: Site) -> None:
    (site.folder / "slow").touch()
    words = ["cluster.time_limit=00:02:00", "cluster.grace_seconds=60", "max_steps=500"]
    run, job = site.submit("timed", *words)
    site.wait(run, State.saved, seconds=150)
    (site.folder / "slow").unlink()
    assert site.wait_for_end(job)["JobState"] == "COMPLETED"
    assert [end["state"] for end in ends(run)] == ["saved", "done"]
    assert steps(run) == list(range(1, 501))


@pytest.mark.slow
def test_a_preempted_run_saves_makes_room_and_goes_on(site: Site) -> None:
    (site.folder / "slow").touch()
    whole = ["cluster.nodes=3", "cluster.threads_per_rank=64"]
    low, low_job = site.submit("low", "cluster.partition=low", *whole)
    site.wait_for_step(low)
    high, high_job = site.submit("high", *whole)
    site.wait(low, State.saved)
    (site.folder / "slow").unlink()
    for job in (high_job, low_job):
        assert site.wait_for_end(job)["JobState"] == "COMPLETED"
    assert [end["state"] for end in ends(low)] == ["saved", "done"]
    assert steps(low) == list(range(1, 21))
    assert Lives(high).state() is State.done


@pytest.mark.slow
def test_a_dead_node_costs_a_life_and_no_run(site: Site) -> None:
    (site.folder / "slow").touch()
    run, job = site.submit("orphan", "max_steps=100")
    site.wait_for_step(run, 2)
    nodes = site.slurm.run("scontrol", "show", "hostnames", site.slurm.job(job)["NodeList"])
    dead = nodes.split()[-1]
    site.slurm.power_off(dead)
    try:
        site.wait_for_lives(run, 2)
        (site.folder / "slow").unlink()
        assert site.wait_for_end(job)["JobState"] == "COMPLETED"
        assert steps(run) == list(range(1, 101))
    finally:
        site.slurm.power_on(dead)


@pytest.mark.slow
def test_a_node_whose_ranks_die_twice_is_left_out(site: Site) -> None:
    (site.folder / "kill-node1").touch()
    run, job = site.submit("unlucky")
    site.slurm.until(lambda: run.job_id.read_text().strip() != job, "a second job", 120)
    second = site.wait_for_end(run.job_id.read_text().strip())
    assert second["JobState"] == "COMPLETED"
    assert second["NodeList"] == "node[2-3]"
    assert [end["state"] for end in ends(run)] == ["failed", "failed", "done"]


@pytest.mark.slow
def test_lives_that_come_to_nothing_end(site: Site) -> None:
    for node in site.slurm.nodes:
        (site.folder / f"kill-{node}").touch()
    run, _ = site.submit("hopeless", "cluster.nodes=1")
    site.slurm.until(lambda: len(ends(run)) == 3, "three lives", 120)
    ended = site.wait_for_end(run.job_id.read_text().strip())
    assert ended["JobState"] == "FAILED"
    assert "ended without a new checkpoint" in Path(ended["StdOut"]).read_text()
