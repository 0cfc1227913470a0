"""How the programs of all stages begin: `--config RUN/config.yaml`, or KEY=VALUE overrides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pacos.compose import Schemas, compose_checked
from pacos.distributed import World
from pacos.errors import UserError
from pacos.frozen import C, load_frozen
from pacos.run_dir import RunDir, open_run, run_path


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
                "to change a value, start from the front: pacos sft KEY=VALUE…"
            )
        path = Path(arguments[1])
        return load_frozen(path, schema), RunDir(path.absolute().parent)
    config = compose_checked(schema, schemas, arguments)
    if world.is_main:
        return config, open_run(config)
    return config, RunDir(run_path(config))
