"""The frame of every stage's program: its arguments, and one life of its run.

A program takes `--config RUN/config.yaml` or KEY=VALUE overrides.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pacos.configs.compose import Schemas, compose_checked
from pacos.configs.frozen import C, load_frozen
from pacos.distributed import World
from pacos.errors import (
    EXIT_CRASH,
    EXIT_DONE,
    EXIT_SAVED,
    EXIT_USER_ERROR,
    UserError,
    disk_problem,
    exit_with,
)
from pacos.rank import is_rank
from pacos.run.lives import Lives, State
from pacos.run.open import open_run, run_path, with_run_path
from pacos.run.stop import Stopped
from pacos.run_paths import RunPaths

REPORT_SECONDS = 5.0
"""Wait of a rank that fails for rank 0 to report the failure, before it does so itself."""


def load_program(
    arguments: Sequence[str], schema: type[C], schemas: Schemas, world: World
) -> tuple[C, RunPaths]:
    """Return the config and the run of this process.

    The front end passes the file of a frozen config. A program that is started by hand composes its
    overrides itself, and rank 0 alone creates the run directory.

    Raises:
        UserError: the config cannot be used.
    """
    if "--config" in arguments:
        if len(arguments) != 2 or arguments[0] != "--config":
            raise UserError(
                "--config takes the config.yaml of a run and nothing else; "
                "to change a value, use the front end: pacos COMMAND KEY=VALUE…"
            )
        path = Path(arguments[1])
        return load_frozen(path, schema), RunPaths(path.absolute().parent)
    config = with_run_path(compose_checked(schema, schemas, arguments))
    if world.is_main:
        return config, open_run(config)
    return config, RunPaths(run_path(config))


def live(
    run: RunPaths,
    world: World,
    work: Callable[[], str | None],
    *,
    fruitless_lives: int | None = None,
) -> int:
    """Run one life: record its beginning, do the work, and record how it ended.

    Args:
        run: the run; only rank 0 writes to it.
        world: this process among its ranks.
        work: does the work. Returns None when it is done, or the reason if it was asked to stop
            before; may raise Stopped instead.
        fruitless_lives: lives in a row without a newer checkpoint after which the run is refused;
            None sets no limit.

    Returns:
        The exit code. A rank that saved on request returns 0, because its launcher takes every
        other code for a crash; the front end reads `saved` from the run.
    """

    def refuse(error: UserError) -> int:
        if world.is_main:
            return exit_with(error)
        if _is_ended_by_main(lives):
            return EXIT_USER_ERROR
        return exit_with(UserError(f"rank {world.rank} on {platform.node()}: {error}"))

    lives = Lives(run)
    try:
        if world.is_main:
            lives.begin(fruitless_lives)
    except UserError as error:
        return refuse(error)
    except OSError as error:
        return refuse(disk_problem(error, run.path) or UserError(f"{run.path}: {error}"))
    try:
        stopped_by = work()
    except Stopped as stopped:
        stopped_by = str(stopped)
    except Exception as error:
        known = error if isinstance(error, UserError) else disk_problem(error, run.path)
        code = EXIT_CRASH if known is None else EXIT_USER_ERROR
        _end(lives, world, State.failed, str(known or repr(error)), code)
        if known is None:
            raise
        return refuse(known)
    if stopped_by is None:
        _end(lives, world, State.done, "done", EXIT_DONE)
        return EXIT_DONE
    _end(lives, world, State.saved, stopped_by, EXIT_SAVED)
    return EXIT_DONE if is_rank() else EXIT_SAVED


def _is_ended_by_main(lives: Lives) -> bool:
    """Return True if rank 0 ends the run, too: most errors occur on all ranks, one reports them."""
    deadline = time.monotonic() + REPORT_SECONDS
    while lives.state() is State.running:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _end(lives: Lives, world: World, state: State, reason: str, code: int) -> None:
    if not world.is_main:
        return
    try:
        lives.end(state, reason, code)
    except OSError as error:
        print(
            f"pacos: {lives.run.path}: the end of this life could not be recorded ({error}); "
            "the next life will record it",
            file=sys.stderr,
        )
