"""Options of one data set: what its columns and roles mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar


class Tree(Enum):
    """The conversations taken from a tree of messages."""

    best = "best"
    all = "all"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One data set with its options, which `sft.configs.data.DataConfig` documents."""

    OPTIONS: ClassVar = ("columns", "roles", "ignore", "raw", "tree")

    path: str
    weight: float = 1.0
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    raw: bool = False
    tree: Tree = Tree.best
