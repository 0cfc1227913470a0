"""From a checked config to its run directory: find it, compare identities, create or continue."""

from __future__ import annotations

import copy
from pathlib import Path

from pacos.configs.frozen import C, freeze, load_frozen
from pacos.configs.stage import RunConfig, StageConfig, run_name
from pacos.errors import UserError
from pacos.files import write_json
from pacos.identity import flatten, identity_fields
from pacos.run.lives import Lives
from pacos.run.manifest import new_manifest
from pacos.run_paths import RunPaths


def run_path(config: StageConfig) -> Path:
    """Return the absolute path of the config's run directory."""
    return Path(config.run.root).absolute() / run_name(config)


def with_run_path(config: C) -> C:
    """Return the config with `run.name` and `run.root` filled in, as it is frozen.

    The default name depends on the config, and a relative root on the working directory: neither
    may be derived a second time in another process.
    """
    path = run_path(config)
    resolved = copy.copy(config)
    resolved.run = RunConfig(name=path.name, root=str(path.parent))
    return resolved


def find_run(config: StageConfig) -> RunPaths:
    """Return the run of a checked config, which may not exist yet. Writes nothing.

    Raises:
        UserError: the directory holds a run with another identity, whose differing keys are
            listed, or files that belong to no run.
    """
    run = RunPaths(run_path(config))
    if run.config.is_file():
        _check_identity(run, config)
    elif run.path.exists() and any(run.path.iterdir()):
        raise UserError(
            f"run.name = {run.path.name}: {run.path} is not empty and holds no run; "
            "choose another run.name, or move the folder away"
        )
    return run


def open_run(config: StageConfig) -> RunPaths:
    """Create the run directory of a checked config, or continue the run that it holds.

    Raises:
        UserError: the directory holds another run (see `find_run`), or cannot be written.
    """
    try:
        run = find_run(config)
        path = config_path(run, config)
        if not run.config.is_file():
            run.path.mkdir(parents=True, exist_ok=True)
            # The config last: a folder with config.yaml counts as a run from then on.
            write_json(run.manifest, new_manifest(config))
            freeze(with_run_path(config), path)
        elif path != run.config:
            freeze(with_run_path(config), path)
        else:
            # The same command as at first again: what an unused command changed no longer counts.
            Lives(run).changed_config().unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"run.root = {config.run.root}: {run_path(config)} cannot be written: "
            f"{error.strerror}; free space there, get permission to write there, or choose another "
            "run.root"
        ) from error
    return run


def config_path(run: RunPaths, config: StageConfig) -> Path:
    """Return where a config of the run is frozen.

    config.yaml keeps the first life's config; one that differs in free fields gets its own file.
    """
    if not run.config.is_file():
        return run.config
    first = load_frozen(run.config, type(config))
    is_same = flatten(first) == flatten(with_run_path(config))
    return run.config if is_same else Lives(run).changed_config()


def _check_identity(run: RunPaths, config: StageConfig) -> None:
    old, new = identity_fields(load_frozen(run.config, type(config))), identity_fields(config)
    # Fields compared, not digests: the message can then name what differs.
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        lines = [f"  {key}: {old.get(key)} there, {new.get(key)} now" for key in differing]
        raise UserError(
            f"run.name = {run.path.name}: {run.path} holds a run with another identity; choose "
            "another run.name, or repeat the run's own values. These keys differ:\n"
            + "\n".join(lines)
        )
