"""Checks of the options of a data set, given in `data` or for one source in `data.mix`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pacos.data.reading.schemas import RAW_SCHEMAS, SCHEMAS, columns_of
from pacos.data.reading.turns import OUR_ROLES, TURN_KEYS
from pacos.data.source_config import SourceConfig, Tree
from pacos.errors import Problem

OWN_OPTIONS = ("weight", *SourceConfig.OPTIONS)
"""Keys of a mapping in `data.mix`."""


def mix_problems(path: str, value: Any) -> list[Problem]:
    """Return the problems of one value of `data.mix`: a weight, or a mapping of options."""
    key = f"data.mix.{path}"
    if not isinstance(value, Mapping):
        return option_problems("data", {"weight": value}, key)
    problems = [
        Problem(f"{key}.{name}", value[name], "no such key", f"use {', '.join(OWN_OPTIONS)}")
        for name in value
        if name not in OWN_OPTIONS
    ]
    known = {name: value[name] for name in OWN_OPTIONS if name in value}
    return [*problems, *option_problems(key, known)]


def option_problems(
    prefix: str, options: Mapping[str, Any], weight_key: str | None = None
) -> list[Problem]:
    """Return the problems of a source's options.

    Args:
        prefix: key of the options, `data` or `data.mix.PATH`.
        options: any of OWN_OPTIONS.
        weight_key: key of the weight, if it has no key of its own.
    """
    problems = []
    weight = options.get("weight", 1.0)
    key = weight_key or f"{prefix}.weight"
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        fault, remedy = "must be a number", "give the passes per epoch"
        if weight_key is not None:
            fault += " or a mapping"
            remedy += f", or a mapping of {', '.join(OWN_OPTIONS)}"
        problems.append(Problem(key, weight, fault, remedy))
    elif not 0 < weight < float("inf"):
        problems.append(Problem(key, weight, "must be above 0", "give the passes per epoch"))
    raw = options.get("raw", False)
    if not isinstance(raw, bool):
        problems.append(Problem(f"{prefix}.raw", raw, "must be true or false", "choose one"))
    tree = options.get("tree", Tree.best)
    if not isinstance(tree, Tree) and str(tree) not in Tree.__members__:
        names = " or ".join(Tree.__members__)
        problems.append(Problem(f"{prefix}.tree", tree, f"must be {names}", "choose one"))
    terms = options.get("terms")
    if not (terms is None or isinstance(terms, str)):
        remedy = "give an id of docs/licences.md"
        problems.append(Problem(f"{prefix}.terms", terms, "must be a text", remedy))
    ignore = options.get("ignore", ())
    if not _is_text_list(ignore):
        remedy = 'write [category,"messages[].model"]'
        problems.append(Problem(f"{prefix}.ignore", ignore, "must be a list of columns", remedy))
        ignore = ()
    problems += _column_problems(f"{prefix}.columns", options.get("columns", {}), ignore, raw)
    return [*problems, *_role_problems(f"{prefix}.roles", options.get("roles", {}), raw)]


def _column_problems(key: str, columns: Any, ignore: Sequence[str], raw: object) -> list[Problem]:
    if not _is_text_mapping(columns):
        remedy = "write {your column: its name in docs/data.md}"
        return [Problem(key, columns, "must map names to names", remedy)]
    known = columns_of(RAW_SCHEMAS) if raw is True else [*columns_of(SCHEMAS), *TURN_KEYS]
    option = " with data.raw=true" if raw is True else ""
    problems = []
    for theirs, ours in columns.items():
        entry = f"{theirs}: {ours}"
        if ours not in known:
            remedy = f"use one of {', '.join(known)}"
            if theirs in known:
                remedy = f"your name comes first: {{{ours}: {theirs}}}"
            problems.append(Problem(key, entry, f"{ours} means nothing to pacos{option}", remedy))
        if theirs in ignore:
            fault = f"{theirs} is also in {key.removesuffix('columns')}ignore"
            problems.append(Problem(key, entry, fault, "remove one of them"))
    return problems


def _role_problems(key: str, roles: Any, raw: object) -> list[Problem]:
    if not _is_text_mapping(roles):
        remedy = f"write {{your role: one of {', '.join(OUR_ROLES)}}}"
        return [Problem(key, roles, "must map roles to roles", remedy)]
    if roles and raw is True:
        shown = ", ".join(roles)
        return [Problem(key, shown, "has no meaning with data.raw=true", "remove one of them")]
    problems = []
    for theirs, ours in roles.items():
        if ours not in OUR_ROLES:
            remedy = f"use {', '.join(OUR_ROLES)}"
            if theirs in OUR_ROLES:
                remedy = f"your role comes first: {{{ours}: {theirs}}}"
            problems.append(Problem(key, f"{theirs}: {ours}", f"{ours} is no role", remedy))
    return problems


def _is_text_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for pair in value.items() for text in pair
    )


def _is_text_list(value: Any) -> bool:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False
    return all(isinstance(text, str) for text in value)
