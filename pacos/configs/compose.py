"""From overrides to one typed config, with every problem named. The only module that uses Hydra."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pacos.configs.frozen import C, missing_keys, to_typed
from pacos.configs.stage import StageConfig
from pacos.errors import ConfigError, Problem, first_line

Schemas = Mapping[str, type]
"""Dataclasses by config name, with the group: `model/schema`."""

BAD_CONFIG = (HydraException, OmegaConfBaseException, AssertionError)
"""What Hydra and OmegaConf raise for an impossible config. OmegaConf asserts if a key lies below a
null."""


def register(schemas: Schemas) -> None:
    """Register the schemas with Hydra under their names."""
    for name, schema in schemas.items():
        _store(name, schema)


# The store is one per process. Storing all schemas takes 0.25 s, half of a composition.
@cache
def _store(name: str, schema: type) -> None:
    group, _, leaf = name.rpartition("/")
    ConfigStore.instance().store(name=leaf, node=schema, group=group or None, provider="pacos")


def compose_checked(schema: type[C], schemas: Schemas, overrides: Sequence[str]) -> C:
    """Compose the primary config of a stage and check it.

    Raises:
        ConfigError: with all problems at once: unknown keys, wrong types and impossible values.
    """
    return check(_compose(schema, schemas, overrides), schema, overrides)


def compose_with_problems(
    schema: type[C], schemas: Schemas, overrides: Sequence[str]
) -> tuple[C, list[Problem]]:
    """Compose a config with what is wrong with its values; missing values are empty strings.

    Raises:
        ConfigError: keys are unknown, or values have the wrong type.
    """
    return _judged(_compose(schema, schemas, overrides), schema, overrides)


def _compose(schema: type[C], schemas: Schemas, overrides: Sequence[str]) -> DictConfig:
    register(schemas)
    with _hydra():
        try:
            return compose(config_name=schema.STAGE, overrides=list(overrides))
        except BAD_CONFIG as error:
            raise ConfigError(_diagnose(schema, overrides, error)) from error


def hydra_settings(schema: type[C], overrides: Sequence[str]) -> DictConfig:
    """Return Hydra's own settings under these overrides, such as its sweeper's."""
    with _hydra():
        composed = compose(schema.STAGE, overrides=list(overrides), return_hydra_config=True)
    settings = composed.hydra
    assert isinstance(settings, DictConfig)
    return settings


def check(composed: DictConfig, schema: type[C], overrides: Sequence[str]) -> C:
    """Return the typed config of a composed one.

    Raises:
        ConfigError: with all missing and all impossible values.
    """
    config, problems = _judged(composed, schema, overrides)
    if problems:
        raise ConfigError(problems)
    return config


@contextmanager
def _hydra() -> Iterator[None]:
    """Let Hydra find configs in pkg://conf. Inside a Hydra job its own search path stands."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    # Without version_base Hydra 1.3 warns, and takes the defaults of 1.1.
    with initialize_config_module("conf", version_base="1.3"):
        yield


def _judged(
    composed: DictConfig, schema: type[C], overrides: Sequence[str]
) -> tuple[C, list[Problem]]:
    """Return the config with empty strings for missing values, and what is wrong with it."""
    # Mandatory values are missing and others may be wrong: name both at once, not one per attempt.
    config, missing = _filled(composed, schema)
    config.adopt_files([_key_of(override) for override in overrides])
    problems = [Problem(key, "???", "is required", f"add {key}=…") for key in missing]
    of_values = [*config.run.problems(), *config.problems(), *config.missing_files()]
    # The empty strings that stand for missing values cause problems of their own; name each once.
    return config, problems + [problem for problem in of_values if problem.key not in missing]


def _filled(composed: DictConfig, schema: type[C]) -> tuple[C, list[str]]:
    """Return the config with empty strings for missing values, and their keys."""
    # Every mandatory field (`???`) is a text, so an empty one has the right type.
    missing = sorted(missing_keys(OmegaConf.to_container(composed)))
    filled = composed.copy()
    for key in missing:
        OmegaConf.update(filled, key, "")
    return to_typed(filled, schema), missing


def _diagnose(
    schema: type[StageConfig], overrides: Sequence[str], error: Exception
) -> list[Problem]:
    """Find every bad override by applying each alone, then check the good ones together.

    Hydra reports only the first error. Group choices (`model=tiny`) come first, because they decide
    which keys exist.
    """
    base = compose(config_name=schema.STAGE, return_hydra_config=True)
    groups = list(base.hydra.runtime.choices)
    problems: list[Problem] = []
    good: list[str] = []
    choices = [override for override in overrides if _key_of(override) in groups]
    for override in sorted(overrides, key=lambda override: override not in choices):
        problem = _override_problem(schema, base, groups, override, good)
        if problem is not None:
            problems.append(problem)
            continue
        good.append(override)
        if override in choices:
            base = compose(config_name=schema.STAGE, overrides=good, return_hydra_config=True)
    try:
        composed = compose(config_name=schema.STAGE, overrides=good)
        problems += _judged(composed, schema, good)[1]
    except BAD_CONFIG as conflict:
        shown = " ".join(good)
        problems.append(
            Problem("overrides", shown, first_line(conflict), "check how they work together")
        )
    return problems or [Problem("config", schema.STAGE, first_line(error), "check its files")]


def _key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _override_problem(
    schema: type[StageConfig],
    base: DictConfig,
    groups: Sequence[str],
    override: str,
    good: Sequence[str],
) -> Problem | None:
    """Return what is wrong with one override on top of those known to be good, or None."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except BAD_CONFIG:
        remedy = "write KEY=VALUE, or 'KEY=\"VALUE\"' if VALUE has characters special to Hydra"
        return Problem("override", override, "cannot be read", remedy)
    key, value = parsed.key_or_group, parsed.value()
    try:
        if parsed.type is OverrideType.CHANGE and key not in groups and key in _dotted(base):
            # Composing anew takes 0.1 s, 50 times as long as this, for each override.
            OmegaConf.update(base.copy(), key, value, merge=True)
        else:
            compose(config_name=schema.STAGE, overrides=[*good, override])
    except BAD_CONFIG as error:
        return _explain(schema, base, groups, key, value, error)
    return None


def _explain(
    schema: type[StageConfig],
    base: DictConfig,
    groups: Sequence[str],
    key: str,
    value: Any,
    error: Exception,
) -> Problem:
    usage = f"see pacos {schema.STAGE} --help"
    # Hydra has no structured form of this error; the text is that of Hydra 1.3.
    _, heading, listing = f"{error} {error.__cause__ or ''}".partition("Available options in")
    if heading:
        names = listing.split(":", 1)[1].split("Config")[0].split()
        options = ", ".join(name for name in names if name != "schema")
        return Problem(key, value, "no such option", f"choose one of: {options}")
    if key in groups and "Could not override" in str(error):
        fault = f"is meant for another command ({first_line(error)})"
        return Problem(key, value, fault, f"choose one that sets keys of pacos {schema.STAGE}")
    known = [*groups, *_dotted(base)]
    tree = key if key in known else key.rpartition(".")[0]
    parent = OmegaConf.select(base, tree)
    if isinstance(parent, DictConfig) and OmegaConf.get_type(parent) is dict:
        # Hydra adds a key to a free mapping (data.mix, suite.num_fewshot) only if `+` asks for it.
        return Problem(key, value, f"is not in {tree} yet", f"write +{tree}.NAME=VALUE")
    if key in known:
        return Problem(key, value, first_line(error.__cause__ or error), usage)
    near = [name for name in groups if name.split("@")[0] == key]
    near += difflib.get_close_matches(key, known, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else usage
    return Problem(key, value, "no such key", hint)


def _dotted(tree: DictConfig) -> list[str]:
    """Return all keys of a config, inner nodes included, without Hydra's own."""

    def keys(node: Any, prefix: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        return [
            key
            for name, value in node.items()
            for key in (f"{prefix}{name}", *keys(value, f"{prefix}{name}."))
        ]

    return [key for key in keys(OmegaConf.to_container(tree), "") if key.split(".")[0] != "hydra"]
