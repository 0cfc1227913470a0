"""Submission to Slurm, from a login node: one job for a run."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from launch.config import JobConfig
from launch.jobs.blame import blamed_nodes
from launch.jobs.queue import PATIENCE_SECONDS, job_of, partitions, run_command
from launch.jobs.script import job_options, render
from launch.local import is_done
from pacos.errors import EXIT_DONE, ConfigError, Problem, UserError
from pacos.files import atomic_write
from pacos.run.lives import Lives
from pacos.run.open import config_path, find_run, open_run
from pacos.run_paths import RunPaths

REFUSALS = {
    r"partition": "partition",
    r"account": "account",
    r"qos": "qos",
    r"time limit": "time_limit",
    r"node config|generic resource|node count|processors|CPU|memory": "nodes",
}
"""Words of Slurm, and the key of `cluster` that they are about."""


def submit_run(config: JobConfig) -> int:
    """Freeze a checked config, submit its job and return at once; returns the exit code.

    Raises:
        UserError: the job was not submitted. Whatever was written for it is gone again.
    """
    run = find_run(config)
    if is_done(config, run):
        print(f"{config.STAGE}: already done in {run.path}")
    elif job := job_of(run):
        print(f"{config.STAGE}: {run.path}\n  {job} is already to do it; scancel {job.id} ends it")
    else:
        job_id = submit(config)
        print(f"{config.STAGE}: {run.path}\n  job {job_id}; pacos status {run.path} shows it")
    return EXIT_DONE


def submit(config: JobConfig, after: str | None = None) -> str:
    """Freeze a checked config and submit its job; returns the job's id.

    Args:
        config: of the run.
        after: id of a job whose success it has to wait for, and with whose failure it ends.

    Raises:
        UserError: the job was not submitted. Whatever was written for it is gone again.
    """
    run = find_run(config)
    with undone_if_refused(run.path, [run.job_script, Lives(run).changed_config()]):
        open_run(config)
        atomic_write(run.job_script, run_script(config, run))
        job_id = sbatch(run.job_script, config, *waiting_for(after))
    atomic_write(run.job_id, f"{job_id}\n")
    return job_id


def waiting_for(job: str | None) -> list[str]:
    """Options of a job that has to wait for another's success, and ends with its failure."""
    return [f"--dependency=afterok:{job}", "--kill-on-invalid-dep=yes"] if job else []


def run_script(config: JobConfig, run: RunPaths) -> str:
    """The job script of a run."""
    whole = RunPaths(run.path.parent)
    name = f"{whole.path.name}-{run.path.name}" if whole.manifest.is_file() else run.path.name
    files = [f"--job-name={name}", f"--output={run.slurm_log('%j')}"]
    options = [
        *files,
        f"--chdir={Path.cwd()}",
        *job_options(config),
        *without_blamed([run], config),
    ]
    return render(config.STAGE, options, config_path(run, config))


def without_blamed(runs: Sequence[RunPaths], config: JobConfig) -> list[str]:
    """The option that also leaves out nodes which ended lives of these runs."""
    blamed = {node for run in runs for node in blamed_nodes(run)}
    return [f"--exclude={','.join(sorted({*config.cluster.exclude, *blamed}))}"] if blamed else []


@contextlib.contextmanager
def undone_if_refused(folder: Path, files: Sequence[Path]) -> Iterator[None]:
    """Leave things as they were if what is done inside raises.

    Args:
        folder: removed if it was not there before.
        files: in the folder, which get back what they held if it was.
    """
    existed = folder.exists()
    before = {path: path.read_bytes() if path.is_file() else None for path in files}
    try:
        yield
    except BaseException:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
        else:
            for path, content in before.items():
                path.unlink(missing_ok=True) if content is None else atomic_write(path, content)
        raise


def submit_command(script: Path, *options: str) -> list[str]:
    """What a person types for the same."""
    return ["sbatch", "--parsable", *options, str(script)]


def sbatch(script: Path, config: JobConfig, *options: str) -> str:
    """Submit a script; returns the job's id.

    Raises:
        UserError: there is no sbatch here, or Slurm refused the job; its words are given.
    """
    command = submit_command(script, *options)
    try:
        done = run_command(command, submission_environment(os.environ, config))
    except FileNotFoundError as error:
        raise UserError(
            "cluster.launcher = slurm: no sbatch on this machine; type this on a login node, or "
            "use cluster=local"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{shlex.join(command)}: no answer from Slurm in {PATIENCE_SECONDS} s; look into "
            "squeue --me for a job that it took all the same, then try again"
        ) from error
    if done.returncode != 0:
        raise _refusal(done.stderr, config)
    return done.stdout.strip().partition(";")[0]


def submission_environment(environment: Mapping[str, str], config: JobConfig) -> dict[str, str]:
    """The environment of sbatch, which its job inherits.

    Typed inside a job, its SLURM_* variables would contradict the new job's own; SBATCH_* variables
    would win over options that the script sets.
    """
    names = [option.partition("=")[0].lstrip("-") for option in job_options(config)]
    taken = {f"SBATCH_{name.upper().replace('-', '_')}" for name in names}
    return {
        name: value
        for name, value in environment.items()
        if name == "SLURM_CONF" or not (name.startswith(("SLURM_", "PMI")) or name in taken)
    }


def _refusal(said: str, config: JobConfig) -> UserError:
    """Slurm's words, and what of the config they are about."""
    words = re.sub(r"^sbatch: (error: )?", "", said.strip(), flags=re.MULTILINE)
    words = words.splitlines()[-1].removeprefix("Batch job submission failed: ")
    if re.search("contact|connect|timed out", words, re.IGNORECASE):
        return UserError(f"Slurm's controller does not answer ({words}); try again later")
    cluster = config.cluster
    for pattern, key in REFUSALS.items():
        if not re.search(pattern, words, re.IGNORECASE):
            continue
        value: object = getattr(cluster, key)
        if key == "nodes":
            ranks, threads = cluster.ranks_per_node, cluster.threads()
            value = f"{value} of {ranks} ranks with {threads} CPUs each"
        there = partitions()
        return ConfigError([Problem(f"cluster.{key}", value, f"Slurm: {words}", f"it has {there}")])
    return UserError(f"Slurm refused the job: {said.strip()}")
