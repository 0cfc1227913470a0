"""Help of the stage commands: config groups and keys, read from the schemas and from conf/.

It needs neither Hydra nor OmegaConf, whose imports take longer than all the rest of `--help`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from enum import Enum
from importlib.resources import files
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from launch.config import SCHEMA_OF

DEFAULTS_ENTRY = "  - "
"""Beginning of a line of a defaults list in conf/*.yaml, which are all indented alike."""
WHOLE_STAGE_GROUPS = ("experiment", "hardware", "search")
"""Groups whose options set keys all over a stage's config. A pipeline cannot take them for one of
its stages."""


def stage_help(name: str) -> str:
    """Return the config groups of a command with their options, and every key with its meaning."""
    groups = list(_groups(name))
    width = max(len(group) for group, _ in groups)
    lines = ["config groups, as GROUP=OPTION:"]
    lines += [f"  {group:<{width}}  {options}" for group, options in groups]
    lines += ["", "keys, as KEY=VALUE, with the default of the schema:"]
    lines += _keys(SCHEMA_OF[name], "", {})
    lines += ["", f"pacos {name} --cfg job prints the values that the chosen options set."]
    return "\n".join(lines)


def _groups(name: str, package: str = "") -> Iterator[tuple[str, str]]:
    """Yield the groups in a primary config's defaults list and in the configs that it includes."""
    text = files("conf").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith(DEFAULTS_ENTRY):
            continue
        group, colon, chosen = line.removeprefix(DEFAULTS_ENTRY).partition(":")
        included, at, inner = group.partition("@")
        if at and not colon:
            yield from _groups(included, f"{inner}.")
        elif colon and not (package and group in WHOLE_STAGE_GROUPS):
            # GROUP@KEY, if the option sets another key than the one of its name.
            name, _, place = group.partition("@")
            place = f"{package}{place or name}"
            yield (
                name if place == name else f"{name}@{place}",
                ", ".join(_options(name, chosen.strip())),
            )


def _options(group: str, chosen: str) -> list[str]:
    folder = files("conf").joinpath(group)
    names = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())
    return [f"{option} (default)" if option == chosen else option for option in names]


def _keys(schema: type, prefix: str, shown: dict[type, str]) -> Iterator[str]:
    """Yield two lines for each key: name, default and type, then its docstring.

    Args:
        schema: the dataclass.
        prefix: prefix of its keys.
        shown: dataclasses that a key may hold or null, with the first key of each. Their own keys
            are listed there only.
    """
    docs, hints = _field_docs(schema), get_type_hints(schema)
    for item in dataclasses.fields(schema):
        kind, key = hints[item.name], f"{prefix}{item.name}"
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
            yield from _keys(kind, f"{key}.", shown)
            continue
        inner = next((part for part in get_args(kind) if dataclasses.is_dataclass(part)), None)
        type_name = _type_name(kind) if inner is None else "null, or keys of its own"
        yield f"  {key} = {_default(item)}  ({type_name})"
        yield f"      {docs.get(item.name, '')}"
        if inner in shown:
            yield f"      Same keys as {shown[inner]}."
        elif isinstance(inner, type):
            shown[inner] = key
            yield from _keys(inner, f"{key}.", shown)


def _default(item: dataclasses.Field[Any]) -> str:
    value = item.default
    if value is dataclasses.MISSING:
        assert item.default_factory is not dataclasses.MISSING
        value = item.default_factory()
    if isinstance(value, Enum):
        return value.name
    return "null" if value is None else str(value)


def _type_name(kind: object) -> str:
    """Return a type as a user writes its values: the options of an enum, `null` for None."""
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return " | ".join(member.name for member in kind)
    if isinstance(kind, UnionType):
        return " | ".join(_type_name(part) for part in get_args(kind))
    if kind is NoneType:
        return "null"
    if inspect.isclass(kind) and not get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "")


def _field_docs(schema: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass, joined to one line.

    Python drops these docstrings, so they are read from the source.
    """
    body = ast.parse(inspect.getsource(schema)).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[statement.target.id] = " ".join(str(after.value.value).split())
    return docs
