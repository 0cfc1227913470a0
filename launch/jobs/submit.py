"""Submission of a run to Slurm from a login node, one job for a run."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from launch.config import JobConfig
from launch.jobs.queue import TIMEOUT_SECONDS, describe_partitions, job_of, run_slurm
from launch.jobs.script import job_options, render
from launch.local import is_done
from pacos.errors import EXIT_DONE, ConfigError, Problem, UserError
from pacos.files import atomic_write, read_jsonl
from pacos.run.lives import Lives
from pacos.run.open import config_path, find_run, open_run
from pacos.run_paths import RunPaths

BLAMED_LIVES = 2
"""Lives of a run that must have failed first on a node before later jobs exclude it. Once can be
chance, such as a preemption; twice costs two restarts already."""

REFUSED_KEYS = {
    r"partition": "partition",
    r"account": "account",
    r"qos": "qos",
    r"time limit": "time_limit",
    r"node config|generic resource|node count|processors|CPU|memory": "nodes",
}
"""Patterns in sbatch's error messages, and the key of `cluster` that each is about."""


def submit_run(config: JobConfig) -> int:
    """Freeze a checked config, submit its job, and return the exit code without waiting for it.

    Raises:
        UserError: the job was not submitted; the files written for it are removed again.
    """
    run = find_run(config)
    if is_done(config, run):
        print(f"{config.STAGE}: already done in {run.path}")
    elif job := job_of(run):
        print(
            f"{config.STAGE}: {run.path}\n  already submitted as {job}; cancel it with: "
            f"scancel {job.id}"
        )
    else:
        job_id = submit(config)
        print(f"{config.STAGE}: {run.path}\n  job {job_id}; check it with: pacos status {run.path}")
    return EXIT_DONE


def submit(config: JobConfig, after: str | None = None) -> str:
    """Freeze a checked config, submit its job, and return the job's id.

    Args:
        config: the run's config.
        after: id of a job that must succeed first; if it fails, Slurm cancels this one.

    Raises:
        UserError: the job was not submitted; the files written for it are removed again.
    """
    run = find_run(config)
    with undo_on_error(run.path, [run.job_script, Lives(run).changed_config()]):
        open_run(config)
        atomic_write(run.job_script, run_script(config, run))
        job_id = sbatch(run.job_script, config, *dependency_options(after))
    atomic_write(run.job_id, f"{job_id}\n")
    return job_id


def dependency_options(job: str | None) -> list[str]:
    """Return the sbatch options that make a job wait for another's success."""
    # Without --kill-on-invalid-dep a job whose dependency failed stays pending for ever.
    return [f"--dependency=afterok:{job}", "--kill-on-invalid-dep=yes"] if job else []


def run_script(config: JobConfig, run: RunPaths) -> str:
    """Return the job script of a run."""
    pipeline = RunPaths(run.path.parent)
    is_part = pipeline.manifest.is_file()
    name = f"{pipeline.path.name}-{run.path.name}" if is_part else run.path.name
    options = [
        f"--job-name={name}",
        f"--output={run.slurm_log('%j')}",
        f"--chdir={Path.cwd()}",
        *job_options(config),
        *exclude_option([run], config),
    ]
    return render(config.STAGE, options, config_path(run, config))


def exclude_option(runs: Sequence[RunPaths], config: JobConfig) -> list[str]:
    """Return the option that excludes blamed nodes along with those of `cluster.exclude`.

    It repeats `cluster.exclude`, because of two --exclude options sbatch takes the last.
    """
    blamed = {node for run in runs for node in blamed_nodes(run)}
    return [f"--exclude={','.join(sorted({*config.cluster.exclude, *blamed}))}"] if blamed else []


def blamed_nodes(run: RunPaths) -> list[str]:
    """Return the nodes on which `BLAMED_LIVES` lives of a run, or more, failed first."""
    counts = Counter(record["node"] for record in read_jsonl(run.attempts) if "node" in record)
    return sorted(node for node, count in counts.items() if count >= BLAMED_LIVES)


@contextlib.contextmanager
def undo_on_error(folder: Path, files: Sequence[Path]) -> Iterator[None]:
    """Restore a folder if the block raises, so that a refused submission leaves nothing behind.

    Args:
        folder: removed if it did not exist before.
        files: files of an existing folder, whose contents are restored.
    """
    existed = folder.exists()
    contents = {path: path.read_bytes() if path.is_file() else None for path in files}
    try:
        yield
    except BaseException:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
            # The folder of all runs goes too, if this would have been the first one in it.
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
        else:
            for path, content in contents.items():
                path.unlink(missing_ok=True) if content is None else atomic_write(path, content)
        raise


def submit_command(script: Path, *options: str) -> list[str]:
    """Return the command line that submits a script, as a person would type it."""
    return ["sbatch", "--parsable", *options, str(script)]


def sbatch(script: Path, config: JobConfig, *options: str) -> str:
    """Submit a script and return the job's id.

    Raises:
        UserError: sbatch is missing, Slurm did not answer, or it refused the job.
    """
    command = submit_command(script, *options)
    try:
        done = run_slurm(command, submission_environment(os.environ, config))
    except FileNotFoundError as error:
        raise UserError(
            "cluster.launcher = slurm: sbatch is not installed on this machine; run this command "
            "on a login node, or use cluster=local"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{shlex.join(command)}: Slurm did not answer within {TIMEOUT_SECONDS} s; check "
            "squeue --me in case the job was accepted anyway, then try again"
        ) from error
    if done.returncode != 0:
        raise _refusal(done.stderr, config)
    # --parsable prints ID, or ID;CLUSTER on a multi-cluster site.
    return done.stdout.strip().partition(";")[0]


def submission_environment(environment: Mapping[str, str], config: JobConfig) -> dict[str, str]:
    """Return the environment for sbatch, which the job inherits.

    Inside a job, the outer job's SLURM_* and PMI* variables would contradict those of the new one.
    SBATCH_* variables take precedence over #SBATCH lines, so those for options that the script
    sets are dropped too.
    """
    names = [option.partition("=")[0].lstrip("-") for option in job_options(config)]
    overridden = {f"SBATCH_{name.upper().replace('-', '_')}" for name in names}
    return {
        name: value
        for name, value in environment.items()
        if name == "SLURM_CONF" or not (name.startswith(("SLURM_", "PMI")) or name in overridden)
    }


def _refusal(stderr: str, config: JobConfig) -> UserError:
    """Turn sbatch's error message into a problem with the config key that it is about."""
    message = re.sub(r"^sbatch: (error: )?", "", stderr.strip(), flags=re.MULTILINE)
    # Lines before the last are warnings.
    message = message.splitlines()[-1].removeprefix("Batch job submission failed: ")
    if re.search("contact|connect|timed out", message, re.IGNORECASE):
        return UserError(f"Slurm's controller does not answer ({message}); try again later")
    cluster = config.cluster
    for pattern, key in REFUSED_KEYS.items():
        if not re.search(pattern, message, re.IGNORECASE):
            continue
        value: object = getattr(cluster, key)
        if key == "nodes":
            ranks, threads = cluster.ranks_per_node, cluster.threads()
            value = f"{value} of {ranks} ranks with {threads} CPUs each"
        remedy = f"the cluster has {describe_partitions()}"
        return ConfigError([Problem(f"cluster.{key}", value, f"Slurm: {message}", remedy)])
    return UserError(f"Slurm refused the job: {stderr.strip()}")
