"""The identity of a run: a hash of the config fields that change its results."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar, Protocol

FREE: Mapping[str, Any] = {"free": True}
"""Metadata of a config field that may change between two lives of one run.

`field(default=…, metadata=FREE)` frees the field, and every field below it where it is a config of
its own. All other fields are part of the identity, so a new field is by default.
"""


class StagedConfig(Protocol):
    """The config of a stage, a dataclass."""

    STAGE: ClassVar[str]


def flatten(config: Any) -> dict[str, Any]:
    """Return all leaf values of a config by dotted key, enums by name, in declaration order."""
    return {key: value for key, value, _ in _leaves(config, "", is_free=False)}


def identity_fields(config: Any) -> dict[str, Any]:
    """Return the leaves that change results: runs that agree in all of them are the same run."""
    return {key: value for key, value, is_free in _leaves(config, "", is_free=False) if not is_free}


def identity(config: StagedConfig) -> str:
    """Return the hex digest of the stage and of `identity_fields`.

    Existing runs are found by it: a renamed or new field, or another value of FREE, makes a run of
    the same command a new one.
    """
    fields = {"stage": config.STAGE, **identity_fields(config)}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _leaves(config: Any, prefix: str, *, is_free: bool) -> Iterator[tuple[str, Any, bool]]:
    """Yield the key of each leaf, its value, and whether it is free."""
    for item in dataclasses.fields(config):
        key, value = f"{prefix}{item.name}", getattr(config, item.name)
        free = is_free or item.metadata.get("free", False)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{key}.", is_free=free)
        else:
            yield key, value.name if isinstance(value, Enum) else value, free
