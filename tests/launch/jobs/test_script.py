"""Job scripts: equal to the golden ones, and without complaints from bash or shellcheck."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launch.config import JOB_STAGES, SCHEMAS
from launch.jobs.script import SCRIPTS, job_options, render
from launch.jobs.submit import submission_environment
from pacos.configs.compose import compose_checked
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "assets" / "jobs"
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
COMMANDS = {
    "sft": ["hardware=gpus_32_70b", "data.path={rows}", "cluster.partition=gpu"],
    "selfinstruct": ["cluster=slurm", "cluster.ranks_per_node=1", "cluster.time_limit=1-00:00:00"],
    "eval": ["cluster=slurm", "target=embedded:smollm2-135m-instruct"],
}


def script(stage: str, rows: Path) -> str:
    rows.write_text("{}\n")
    words = [word.format(rows=rows) for word in COMMANDS[stage]]
    config = compose_checked(JOB_STAGES[stage], SCHEMAS, words)
    options = ["--job-name=mine", "--output=/home/me/my runs/slurm-%j.log", *job_options(config)]
    text = render(stage, options, Path("/home/me/config.yaml"))
    return text.replace(str(SCRIPTS), "/pacos/slurm").replace(sys.prefix, "/pacos/.venv")


@pytest.mark.parametrize("stage", COMMANDS)
def test_a_job_script_is_the_golden_one(stage: str, tmp_path: Path) -> None:
    assert script(stage, tmp_path / "rows.jsonl") == (GOLDEN / f"{stage}.sbatch").read_text()


def test_an_array_takes_the_config_of_its_task(tmp_path: Path) -> None:
    configs = {task: Path(f"/sweep/{task}/config.yaml") for task in (0, 3)}
    (text := tmp_path / "job").write_text(render("sft", ["--array=0,3%1"], configs))
    first = text.read_text().partition("\nset -euo")[0] + '\necho "$2"\n'
    done = subprocess.run(
        ["bash", "-c", first], env={"SLURM_ARRAY_TASK_ID": "3"}, capture_output=True, text=True
    )
    assert done.stdout == "/sweep/3/config.yaml\n"


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "slurm").glob("*.s*")), *sorted(GOLDEN.glob("*.sbatch"))],
    ids=lambda path: path.name,
)
def test_bash_and_shellcheck_find_nothing(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    done = subprocess.run([SHELLCHECK, "-x", path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_submission_takes_nothing_of_a_job_around_it() -> None:
    config = compose_checked(
        JOB_STAGES["eval"], SCHEMAS, [*COMMANDS["eval"], "cluster.partition=gpu"]
    )
    given = {"SLURM_MEM_PER_NODE": "1", "PMI_RANK": "0", "SBATCH_PARTITION": "old"}
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_RESERVATION": "r", "HF_TOKEN": "t"}
    assert submission_environment({**given, **kept}, config) == kept
