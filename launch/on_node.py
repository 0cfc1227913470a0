"""The calls of a job script into pacos, on the first node of the job. Free of torch.

python -m launch.on_node begin STAGE KEY=VALUE… | --config RUN/config.yaml
python -m launch.on_node end RUN CODE STDERR REQUEST

Both print shell assignments that slurm/job.sh evaluates; messages for people go to stderr.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.config import EvalConfig
from launch.config import JOB_STAGES, SCHEMAS, JobConfig, PipelineConfig
from launch.jobs.submit import blamed_nodes
from launch.local import is_done, stage_environment
from launch.pipeline.finish import finish
from launch.pipeline.parts import read_parts
from pacos.configs.compose import compose_checked
from pacos.configs.frozen import load_frozen
from pacos.errors import (
    EXIT_CRASH,
    EXIT_DONE,
    EXIT_SAVED,
    EXIT_USER_ERROR,
    UserError,
    exit_with,
)
from pacos.run.lives import Lives, State, job_of_this_process
from pacos.run.open import open_run
from pacos.run.stop import TIME_IS_OVER
from pacos.run_paths import RunPaths
from sft.config import SFTConfig

FRUITLESS_LIVES = 3
"""Lives in a row without a new checkpoint after which a job gives up. Applies to stages that set no
limit of their own; sft has health.fruitless_lives."""
FAILED_TASK = re.compile(r"^srun: error: (\S+): tasks? .*$", re.MULTILINE)
"""Message of srun about a failed task. Only the first counts: it makes srun end the other tasks,
which are reported as failed too, later."""


def main(args: Sequence[str]) -> int:
    """Answer one call of the job script and return the exit code."""
    call, *values = args
    try:
        if call == "begin":
            print(begin(values[0], values[1:]))
        else:
            run, code, stderr, request = values
            print(end(RunPaths(Path(run)), int(code), Path(stderr), request))
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def begin(stage: str, args: Sequence[str]) -> str:
    """Open the run of a frozen config or of overrides, and return its settings for the script.

    Args:
        stage: name of the stage.
        args: `--config FILE`, or the overrides of a script that was submitted by hand.

    Raises:
        UserError: the config is wrong, or the run directory belongs to another run.
    """
    schema = JOB_STAGES[stage]
    if args[:1] == ["--config"]:
        path = Path(args[1]).absolute()
        config: JobConfig = load_frozen(path, schema)
        run = RunPaths(path.parent)
    else:
        config = compose_checked(schema, SCHEMAS, [*_allocation_overrides(schema), *args])
        run = open_run(config)
        path = Lives(run).next_config()
    if is_done(config, run):
        print(f"{stage}: already done in {run.path}", file=sys.stderr)
        # The script evaluates this and ends.
        return "exit 0"
    counted = config if isinstance(config, EvalConfig) else config.cluster
    settings = {
        "run": str(run.path),
        "ranks": str(counted.world_size()),
        "grace": str(config.cluster.grace_seconds),
    }
    exported = {"PACOS_CONFIG": str(path), **stage_environment(config)}
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    return "\n".join(lines)


def _allocation_overrides(schema: type[JobConfig]) -> list[str]:
    """Return overrides for the nodes and GPUs that Slurm gave a job submitted by hand."""
    gpus = os.environ.get("SLURM_GPUS_ON_NODE")
    overrides = ["cluster.launcher=slurm", f"cluster.nodes={os.environ['SLURM_JOB_NUM_NODES']}"]
    if schema in (SFTConfig, EvalConfig):
        overrides += [f"cluster.ranks_per_node={gpus or 1}"]
    return overrides


def end(run: RunPaths, code: int, stderr: Path, request: str) -> str:
    """Decide whether a job runs again, after a life of its run has ended.

    Args:
        run: the job's run.
        code: exit code of srun. It does not tell a run that saved from one that crashed, because
            ranks that saved exit with 0 and a launcher turns other codes into 1.
        stderr: file with srun's own messages.
        request: `again` if Slurm is about to end the job, `end` if it was cancelled, else empty.

    Returns:
        Assignments of `next` (again or end), `code` (the job's exit code) and `exclude` (nodes to
        avoid, separated by commas).
    """
    lives = Lives(run)
    # Looked up by job and requeue count: the newest recorded life may be that of an earlier job.
    life = lives.of_job(job_of_this_process())
    if life is None:
        print("pacos: the ranks never started the run; see the messages above", file=sys.stderr)
        return _decision("again" if request == "again" else "end", code or EXIT_CRASH)
    if lives.end_of(life) is None:
        _record_kill(lives, stderr)
    code, reason = lives.end_of(life) or (EXIT_CRASH, "")
    print(f"pacos: life {life} of {run.path}: {reason}", file=sys.stderr)
    if code == EXIT_DONE:
        _finish_pipeline(RunPaths(run.path.parent))
    if code in (EXIT_DONE, EXIT_USER_ERROR) or request == "end":
        return _decision("end", code)
    # Saved without a signal: a person touched STOP, unless the run saw its own time limit coming.
    if code == EXIT_SAVED and not request and not reason.startswith(TIME_IS_OVER):
        return _decision("end", code)
    fruitless = lives.fruitless()
    if fruitless and len(fruitless) >= (fruitless[-1]["fruitless_lives"] or FRUITLESS_LIVES):
        print(
            f"pacos: {len(fruitless)} lives in a row ended without a new checkpoint; giving up",
            file=sys.stderr,
        )
        return _decision("end", code)
    return _decision("again", code, blamed_nodes(run) if code == EXIT_CRASH else ())


def _finish_pipeline(pipeline: RunPaths) -> None:
    """Write the report of the pipeline that a run belongs to, if this was its last part."""
    if not pipeline.manifest.is_file():
        return
    lives = Lives(pipeline)
    config = load_frozen(lives.next_config(), PipelineConfig)
    if not all(part.is_done for part in read_parts(config, pipeline.path)):
        return
    try:
        lives.begin()
        finish(lives)
    except UserError:
        pass  # A coordinator holds the pipeline's lock and finishes it.
    except Exception as error:  # noqa: BLE001 - a failed report must not fail the job
        lives.end(State.failed, repr(error), EXIT_CRASH)


def _record_kill(lives: Lives, stderr: Path) -> None:
    """Record the end of a killed life, and the node on which it failed first."""
    match = FAILED_TASK.search(stderr.read_text(errors="replace") if stderr.is_file() else "")
    if match:
        lives.note(node=match[1])
    lives.end(State.failed, match[0] if match else "killed", EXIT_CRASH)


def _decision(next_step: str, code: int, exclude: Sequence[str] = ()) -> str:
    return f"next={next_step} code={code} exclude={shlex.quote(','.join(exclude))}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
