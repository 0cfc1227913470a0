"""What a job script asks of pacos, on the node where it begins. Free of torch.

python -m launch.on_node begin STAGE KEY=VALUE… | --config RUN/config.yaml
python -m launch.on_node end RUN CODE SAID ASKED
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.config import EvalConfig
from launch.config import JOB_STAGES, JobConfig
from launch.environment import stage_environment
from launch.jobs.blame import blamed_nodes
from launch.local import is_done
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
"""Crashes from one and the same checkpoint after which a job does not start its run again."""
FIRST_TO_END = re.compile(r"^srun: error: (\S+): tasks? .*$", re.MULTILINE)
"""What srun says of a task that failed; of the others, which it ends for that, later."""


def main(arguments: Sequence[str]) -> int:
    """Print words that the script evaluates."""
    what, *words = arguments
    try:
        if what == "begin":
            print(begin(words[0], words[1:]))
        else:
            run, code, said, asked = words
            print(end(RunPaths(Path(run)), int(code), Path(said), asked))
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE


def begin(stage: str, words: Sequence[str]) -> str:
    """Take up a run: one that was frozen, or that of overrides typed by hand.

    Raises:
        UserError: there is no such config.
    """
    schema = JOB_STAGES[stage]
    if words[:1] == ["--config"]:
        path = Path(words[1]).absolute()
        config: JobConfig = load_frozen(path, schema)
        run = RunPaths(path.parent)
    else:
        from launch.config import SCHEMAS
        from pacos.configs.compose import compose_checked

        config = compose_checked(schema, SCHEMAS, [*_allocation(schema), *words])
        run = open_run(config)
        path = Lives(run).next_config()
    if is_done(config, run):
        print(f"{stage}: already done in {run.path}", file=sys.stderr)
        return "exit 0"
    settings = {
        "run": str(run.path),
        "ranks": str(config.cluster.world_size()),
        "grace": str(config.cluster.grace_seconds),
    }
    exported = {"PACOS_CONFIG": str(path), **stage_environment(config)}
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    return "\n".join(lines)


def _allocation(schema: type[JobConfig]) -> list[str]:
    """Overrides that say what Slurm gave a job that was submitted by hand."""
    gpus = os.environ.get("SLURM_GPUS_ON_NODE")
    found = ["cluster.launcher=slurm", f"cluster.nodes={os.environ['SLURM_JOB_NUM_NODES']}"]
    if schema in (SFTConfig, EvalConfig):
        found += [f"cluster.ranks_per_node={gpus or 1}"]
    return found


def end(run: RunPaths, code: int, said: Path, asked: str) -> str:
    """What follows a life's end.

    Args:
        run: of the job.
        code: exit code of srun. It cannot tell a run that saved from one that crashed.
        said: file with srun's own messages.
        asked: `again` if Slurm is about to end the job, `end` if a person cancelled it, else empty.

    Returns:
        Values of `next` (again, end), `code` (of the job) and `exclude` (nodes, with commas).
    """
    lives = Lives(run)
    life = lives.of_job(job_of_this_process())
    if life is None:
        print("pacos: the ranks did not come to the run; see above", file=sys.stderr)
        return _decision("again" if asked == "again" else "end", code or EXIT_CRASH)
    if lives.end_of(life) is None:
        _record_kill(lives, said)
    code, reason = lives.end_of(life) or (EXIT_CRASH, "")
    print(f"pacos: life {life} of {run.path}: {reason}", file=sys.stderr)
    if code == EXIT_DONE:
        _finish_pipeline(RunPaths(run.path.parent))
    if code in (EXIT_DONE, EXIT_USER_ERROR) or asked == "end":
        return _decision("end", code)
    if code == EXIT_SAVED and not asked and not reason.startswith(TIME_IS_OVER):
        return _decision("end", code)
    fruitless = lives.fruitless()
    if fruitless and len(fruitless) >= (fruitless[-1]["fruitless_lives"] or FRUITLESS_LIVES):
        print(
            f"pacos: {len(fruitless)} lives in a row came to no new checkpoint; the job ends",
            file=sys.stderr,
        )
        return _decision("end", code)
    return _decision("again", code, blamed_nodes(run) if code == EXIT_CRASH else ())


def _finish_pipeline(whole: RunPaths) -> None:
    """Write the report of the pipeline that a run belongs to, if that was its last one."""
    if not whole.manifest.is_file():
        return
    from launch.config import PipelineConfig
    from launch.pipeline.finish import finish
    from launch.pipeline.parts import read_links

    lives = Lives(whole)
    config = load_frozen(lives.next_config(), PipelineConfig)
    if not all(link.is_done for link in read_links(config, whole.path)):
        return
    try:
        lives.begin()
        finish(lives)
    except UserError:
        pass  # its keeper is at work, and does it
    except Exception as error:  # noqa: BLE001 - a report must not keep a job from ending well
        lives.end(State.failed, repr(error), EXIT_CRASH)


def _decision(next_: str, code: int, exclude: Sequence[str] = ()) -> str:
    return f"next={next_} code={code} exclude={shlex.quote(','.join(exclude))}"


def _record_kill(lives: Lives, said: Path) -> None:
    """Say for a life that was killed how it ended, and on which node that began."""
    match = FIRST_TO_END.search(said.read_text(errors="replace") if said.is_file() else "")
    if match:
        lives.note(node=match[1])
    lives.end(State.failed, match[0] if match else "killed", EXIT_CRASH)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
