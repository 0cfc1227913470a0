"""How the programs of all stages begin: `--config RUN/config.yaml`, or KEY=VALUE overrides."""

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

WORD_SECONDS = 5.0
"""Until a rank that refuses to work says so itself, because rank 0 does not."""


def load_program(
    arguments: Sequence[str], schema: type[C], schemas: Schemas, world: World
) -> tuple[C, RunPaths]:
    """The config and the run of this process.

    The front freezes a config and names its file. Typed by a person, a program composes its
    overrides itself, and rank 0 alone makes the run directory.

    Raises:
        UserError: the config cannot be used.
    """
    if "--config" in arguments:
        if len(arguments) != 2 or arguments[0] != "--config":
            raise UserError(
                "--config takes the config.yaml of a run and nothing else; "
                "to change a value, start from the front: pacos COMMAND KEY=VALUE…"
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
    """One life of a run: take it up, work, and record how it ended.

    Args:
        run: the run; rank 0 alone writes to it.
        world: this process among its ranks.
        work: returns why it was asked to stop before the end, None at the end; or raises Stopped.
        fruitless_lives: in a row after which a run is not taken up any more; None: no such number.

    Returns:
        The exit code. A rank that saved on request returns 0, because its launcher takes every
        other code for a crash; the front reads `saved` from the run.
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
    """Whether rank 0 ends the run too: most mistakes are seen by all ranks."""
    until = time.monotonic() + WORD_SECONDS
    while lives.state() is State.running:
        if time.monotonic() > until:
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
            "the next one will do it",
            file=sys.stderr,
        )
