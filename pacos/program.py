"""How the programs of all stages begin: `--config RUN/config.yaml`, or KEY=VALUE overrides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pacos.compose import Schemas, compose_checked
from pacos.distributed import World
from pacos.errors import (
    EXIT_CRASH,
    EXIT_DONE,
    EXIT_SAVED,
    EXIT_USER_ERROR,
    UserError,
    exit_with,
)
from pacos.frozen import C, load_frozen
from pacos.rank import is_rank
from pacos.run_dir import RunDir, State, open_run, run_path


def load_program(
    arguments: Sequence[str], schema: type[C], schemas: Schemas, world: World
) -> tuple[C, RunDir]:
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
        return load_frozen(path, schema), RunDir(path.absolute().parent)
    config = compose_checked(schema, schemas, arguments)
    if world.is_main:
        return config, open_run(config)
    return config, RunDir(run_path(config))


def live(run: RunDir, world: World, work: Callable[[], str | None]) -> int:
    """One life of a run: take it up, work, and record how it ended.

    Args:
        run: the run; rank 0 alone writes to it.
        world: this process among its ranks.
        work: returns why it was asked to stop before the end, or None at the end.

    Returns:
        The exit code. A rank that saved on request returns 0, because its launcher takes every
        other code for a crash; the front reads `saved` from the run.
    """

    def end(state: State, reason: str, code: int) -> None:
        if world.is_main:
            run.end_life(state, reason, code)

    try:
        if world.is_main:
            run.begin_life()
    except UserError as error:
        return exit_with(error)
    try:
        stopped_by = work()
    except UserError as error:
        end(State.failed, str(error), EXIT_USER_ERROR)
        return exit_with(error) if world.is_main else EXIT_USER_ERROR
    except Exception as error:
        end(State.failed, repr(error), EXIT_CRASH)
        raise
    if stopped_by is None:
        end(State.done, "done", EXIT_DONE)
        return EXIT_DONE
    end(State.saved, stopped_by, EXIT_SAVED)
    return EXIT_DONE if is_rank() else EXIT_SAVED
