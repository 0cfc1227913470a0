"""Help texts, made from the config types and the files in conf/ without importing Hydra."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from enum import Enum
from importlib.resources import files
from typing import Any, get_args, get_type_hints

from pacos.configs.shared import StageConfig

ABOUT = {
    "selfinstruct": "grow instruction data from seed tasks with a language model",
    "sft": "fully fine-tune a model on instruction data",
    "eval": "judge a model with benchmarks, and compare it with another",
    "pipeline": "all three in a row, and a report",
}
DEFAULT_LIST_ENTRY = "  - "
OF_ONE_STAGE = ("experiment", "hardware", "search")
"""Groups whose options set keys of a whole stage's config, and so are none of a pipeline's."""


def overview() -> str:
    """The text of `pacos --help`."""
    lines = [
        "pacos: from a base LLaMA to an instruction-tuned model",
        "",
        "usage: pacos COMMAND KEY=VALUE…",
        "",
    ]
    lines += [f"  {name:<14}{about}" for name, about in ABOUT.items()]
    lines += [
        f"  {'doctor':<14}prove on this machine that a training run would be right: KEY=VALUE…",
        f"  {'plan':<14}memory, disk, hours and cost of a training run: KEY=VALUE…",
        f"  {'prefetch':<14}download on a login node what a config names on the hub: KEY=VALUE…",
        f"  {'sync':<14}send W&B what it lacks of runs: pacos sync RUN…",
        f"  {'chat':<14}talk to a model in the terminal: pacos chat RUN|MODEL",
        f"  {'review':<14}rate items of a run on a local web page: pacos review RUN",
        f"  {'status':<14}where runs and sweeps stand: pacos status [RUN|SWEEP]",
        f"  {'resubmit':<14}go on with a sweep or a run as it is frozen: pacos resubmit SWEEP|RUN",
        f"  {'report':<14}write the HTML report of runs again: pacos report RUN…",
        "",
        "pacos COMMAND --help        keys, options and what they mean",
        "pacos COMMAND --cfg job     the composed config, without running it",
        "pacos COMMAND --dry-run     config, job script and command, without running them",
        "pacos COMMAND -m KEY=A,B    a sweep: one run a point, here or as an array of jobs",
    ]
    return "\n".join(lines)


def stage_help(name: str) -> str:
    """The text of `pacos NAME --help`: config groups with their options, and every key."""
    schema = _schema(name)
    usage = f"usage: pacos {name} KEY=VALUE… [-m] [--dry-run]"
    lines = [f"pacos {name}: {ABOUT[name]}", "", usage, ""]
    lines += ["Groups, GROUP=OPTION:"]
    lines += [f"  {group:<32}{options}" for group, options in _groups(name)]
    lines += ["", "Keys, KEY=VALUE, with the value that the schema gives them:"]
    lines += _keys(schema, "", {})
    lines += [
        "",
        f"pacos {name} --cfg job shows the values that the chosen options give them.",
    ]
    return "\n".join(lines)


def _schema(name: str) -> type[StageConfig]:
    from eval.config import EvalConfig
    from launch.config import PipelineConfig
    from selfinstruct.config import SelfInstructConfig
    from sft.config import SFTConfig

    stages: tuple[type[StageConfig], ...] = (
        SelfInstructConfig,
        SFTConfig,
        EvalConfig,
        PipelineConfig,
    )
    return next(schema for schema in stages if name == schema.STAGE)


def _groups(name: str, package: str = "") -> Iterator[tuple[str, str]]:
    """Groups in a primary config's defaults list, with those of configs that it includes."""
    text = files("conf").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith(DEFAULT_LIST_ENTRY):
            continue
        group, colon, chosen = line.removeprefix(DEFAULT_LIST_ENTRY).partition(":")
        included, at, inner = group.partition("@")
        if at and not colon:
            yield from _groups(included, f"{inner}.")
        elif colon and not (package and group in OF_ONE_STAGE):
            # The group, and where in the config its option goes, if that is elsewhere.
            name, _, place = group.partition("@")
            place = f"{package}{place or name}"
            shown = name if place == name else f"{name}@{place}"
            yield shown, ", ".join(_options(name, chosen.strip()))


def _options(group: str, chosen: str) -> list[str]:
    folder = files("conf").joinpath(group)
    names = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())
    return [f"{option} (default)" if option == chosen else option for option in names]


def _keys(schema: type, prefix: str, shown: dict[type, str]) -> Iterator[str]:
    """Two lines a key: name with type and value, then its docstring.

    What may be null and has keys of its own is `shown` once, under the first key that takes it.
    """
    docs, hints = _field_docs(schema), get_type_hints(schema)
    for item in dataclasses.fields(schema):
        kind, key = hints[item.name], f"{prefix}{item.name}"
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
            yield from _keys(kind, f"{key}.", shown)
            continue
        inner = next((part for part in get_args(kind) if dataclasses.is_dataclass(part)), None)
        name = _type_name(kind) if inner is None else "null | keys of its own"
        yield f"  {key} = {_default(item)}  ({name})"
        yield f"      {docs.get(item.name, '')}"
        if inner in shown:
            yield f"      Its keys are those of {shown[inner]}."
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


def _type_name(kind: Any) -> str:
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return " | ".join(member.name for member in kind)
    name = kind.__name__ if inspect.isclass(kind) and not hasattr(kind, "__args__") else str(kind)
    return name.replace("None", "null")


def _field_docs(schema: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, on one line."""
    body = ast.parse(inspect.getsource(schema)).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[statement.target.id] = " ".join(str(after.value.value).split())
    return docs
