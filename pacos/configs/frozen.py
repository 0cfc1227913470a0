"""Typed configs, and the YAML file in which a run keeps its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pacos.configs.stage import StageConfig
from pacos.errors import ConfigError, Problem, UserError, first_line
from pacos.files import atomic_write

C = TypeVar("C", bound=StageConfig)


def to_typed(composed: DictConfig, schema: type[C]) -> C:
    """Turn a composed config into its dataclass.

    Raises:
        ConfigError: mandatory values are missing.
        UserError: the config was not composed on top of the schema.
    """
    missing = sorted(missing_keys(OmegaConf.to_container(composed)))
    if missing:
        raise ConfigError([Problem(key, "???", "is required", f"add {key}=…") for key in missing])
    config = OmegaConf.to_object(composed)
    if not isinstance(config, schema):
        raise UserError(
            f"the composed config is {type(config).__name__}, not {schema.__name__}: "
            f"the defaults list of the primary config must begin with {schema.STAGE}_schema"
        )
    return config


def missing_keys(values: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys without a value. OmegaConf.missing_keys fails on references to such a key."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from missing_keys(value, f"{prefix}{key}.")
        elif value == "???":
            yield f"{prefix}{key}"


def freeze(config: StageConfig, path: Path) -> None:
    """Write a config, fully resolved."""
    atomic_write(path, OmegaConf.to_yaml(OmegaConf.structured(config)))


def load_frozen(path: Path, schema: type[C]) -> C:
    """Read a config written by `freeze`.

    Raises:
        UserError: the file does not exist, or holds no config of this stage.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the config.yaml of a run")
    try:
        # On top of the schema: fields that a newer pacos has added take their defaults, so that it
        # can continue old runs, while keys that it no longer knows are refused.
        merged = OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.load(path))
        assert isinstance(merged, DictConfig)
        return to_typed(merged, schema)
    except (OmegaConfBaseException, ConfigError) as error:
        raise UserError(f"{path}: is not a {schema.STAGE} config: {first_line(error)}") from error
