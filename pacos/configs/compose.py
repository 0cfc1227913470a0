"""From overrides to one typed config, with every problem named. Hydra's ways stay in here."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
"""Config name, with its group (`model/schema`), to dataclass."""

BAD_CONFIG = (HydraException, OmegaConfBaseException, AssertionError)
"""What Hydra and OmegaConf raise for a config that cannot be; OmegaConf asserts where a key lies
below a null."""


def register(schemas: Schemas) -> None:
    """Make the schemas known to Hydra under their names."""
    store = ConfigStore.instance()
    for name, schema in schemas.items():
        group, _, leaf = name.rpartition("/")
        store.store(name=leaf, node=schema, group=group or None, provider="pacos")


def compose_checked(schema: type[C], schemas: Schemas, overrides: Sequence[str]) -> C:
    """Compose the primary config of a stage and check it.

    Raises:
        ConfigError: with every problem: unknown keys, wrong types and impossible values together.
    """
    return check(_compose(schema, schemas, overrides), schema)


def compose_with_problems(
    schema: type[C], schemas: Schemas, overrides: Sequence[str]
) -> tuple[C, list[Problem]]:
    """Compose a config whose values may be wrong, and say what is; what is missing is empty.

    Raises:
        ConfigError: keys are unknown, or values of the wrong type.
    """
    composed = _compose(schema, schemas, overrides)
    config, _ = _filled(composed, schema)
    return config, _value_problems(composed, schema)


def _compose(schema: type[C], schemas: Schemas, overrides: Sequence[str]) -> DictConfig:
    register(schemas)
    with _hydra():
        try:
            return compose(config_name=schema.STAGE, overrides=list(overrides))
        except BAD_CONFIG as error:
            raise ConfigError(_diagnose(schema, overrides, error)) from error


def hydra_settings(schema: type[C], overrides: Sequence[str]) -> DictConfig:
    """What overrides say of Hydra itself, such as of its sweeper."""
    with _hydra():
        composed = compose(schema.STAGE, overrides=list(overrides), return_hydra_config=True)
    settings = composed.hydra
    assert isinstance(settings, DictConfig)
    return settings


def check(composed: DictConfig, schema: type[C]) -> C:
    """The typed config of a composed one.

    Raises:
        ConfigError: with all that is missing, and all that is wrong with the values.
    """
    problems = _value_problems(composed, schema)
    if problems:
        raise ConfigError(problems)
    return to_typed(composed, schema)


@contextmanager
def _hydra() -> Iterator[None]:
    """Find configs in pkg://conf; inside a Hydra job, in the search path that it has."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with initialize_config_module("conf", version_base="1.3"):
        yield


def _value_problems(composed: DictConfig, schema: type[StageConfig]) -> list[Problem]:
    config, missing = _filled(composed, schema)
    problems = [Problem(key, "???", "is required", f"add {key}=…") for key in missing]
    found = [*config.run.problems(), *config.problems(), *config.missing_files()]
    return problems + [problem for problem in found if problem.key not in missing]


def _filled(composed: DictConfig, schema: type[C]) -> tuple[C, list[str]]:
    """The config with empty words for what is missing, and the keys of that."""
    missing = sorted(missing_keys(OmegaConf.to_container(composed)))
    filled = composed.copy()
    for key in missing:
        OmegaConf.update(filled, key, "")
    return to_typed(filled, schema), missing


def _diagnose(
    schema: type[StageConfig], overrides: Sequence[str], error: Exception
) -> list[Problem]:
    """Find every bad override by applying each alone; check the others together.

    Choices of options come first: what keys there are depends on them.
    """
    base = compose(config_name=schema.STAGE, return_hydra_config=True)
    groups = list(base.hydra.runtime.choices)
    problems: list[Problem] = []
    good: list[str] = []
    choices = [one for one in overrides if one.lstrip("+~").partition("=")[0] in groups]
    for override in [*choices, *(one for one in overrides if one not in choices)]:
        problem = _override_problem(schema, base, groups, override, good)
        if problem is not None:
            problems.append(problem)
            continue
        good.append(override)
        if override in choices:
            base = compose(config_name=schema.STAGE, overrides=good, return_hydra_config=True)
    try:
        problems += _value_problems(compose(config_name=schema.STAGE, overrides=good), schema)
    except BAD_CONFIG as together:
        shown = " ".join(good)
        problems.append(Problem("overrides", shown, first_line(together), "check them together"))
    return problems or [Problem("config", schema.STAGE, first_line(error), "check its files")]


def _override_problem(
    schema: type[StageConfig],
    base: DictConfig,
    groups: Sequence[str],
    override: str,
    good: Sequence[str],
) -> Problem | None:
    """What is wrong with one override, taken with those that are known to be right."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except BAD_CONFIG:
        remedy = "write it as KEY=VALUE, and what Hydra would read otherwise as 'KEY=\"VALUE\"'"
        return Problem("override", override, "cannot be read", remedy)
    key, value = parsed.key_or_group, parsed.value()
    try:
        if parsed.type is OverrideType.CHANGE and key not in groups and key in _dotted(base):
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
    _, found, listing = f"{error} {error.__cause__ or ''}".partition("Available options in")
    if found:
        names = listing.split(":", 1)[1].split("Config")[0].split()
        options = ", ".join(name for name in names if name != "schema")
        return Problem(key, value, "no such option", f"choose one of: {options}")
    if key in groups and "Could not override" in str(error):
        what = f"was written for another command ({first_line(error)})"
        return Problem(key, value, what, f"choose one that sets keys of pacos {schema.STAGE}")
    known = [*groups, *_dotted(base)]
    tree = key if key in known else key.rpartition(".")[0]
    if isinstance(found_tree := OmegaConf.select(base, tree), DictConfig) and (
        OmegaConf.get_type(found_tree) is dict
    ):
        return Problem(key, value, f"is not in {tree} yet", f"write it as +{tree}.NAME=VALUE")
    if key in known:
        return Problem(key, value, first_line(error.__cause__ or error), usage)
    near = [name for name in groups if name.split("@")[0] == key]
    near += difflib.get_close_matches(key, known, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else usage
    return Problem(key, value, "no such key", hint)


def _dotted(tree: DictConfig) -> list[str]:
    """All keys of a config, inner nodes too, without Hydra's own."""

    def keys(node: Any, prefix: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        return [
            found
            for name, value in node.items()
            for found in (f"{prefix}{name}", *keys(value, f"{prefix}{name}."))
        ]

    return [key for key in keys(OmegaConf.to_container(tree), "") if key.split(".")[0] != "hydra"]
