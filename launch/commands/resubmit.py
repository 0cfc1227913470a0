"""`pacos resubmit`: go on with what is frozen, without the words that began it."""

from __future__ import annotations

import os

from launch.config import SCHEMA_OF
from launch.dispatch import dispatch
from launch.sweep import Sweep
from launch.sweeps.runs import go_on
from pacos.configs.frozen import load_frozen
from pacos.errors import UserError
from pacos.files import read_json
from pacos.run.lives import Lives
from pacos.run_paths import RunPaths


def resubmit(place: Sweep | RunPaths) -> int:
    """Do what of a sweep or a run is left; returns the exit code.

    Relative paths start from where the first command was typed.

    Raises:
        UserError: it is a search, or what is left could not be begun.
    """
    if isinstance(place, Sweep):
        if place.search() is not None:
            raise UserError(f"{place.path}: a search, whose command goes on with it")
        os.chdir(place.folder())
        return go_on(place)
    manifest = read_json(place.manifest)
    os.chdir(manifest["folder"])
    config = load_frozen(Lives(place).next_config(), SCHEMA_OF[manifest["stage"]])
    config.run.root, config.run.name = str(place.path.parent), place.path.name
    return dispatch(config)
