"""Options of one data set: what its columns and roles mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar


class Tree(Enum):
    """The conversations taken from a tree of messages."""

    best = "best"
    all = "all"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One data set with its options, which `sft.configs.data.DataConfig` documents."""

    OPTIONS: ClassVar = ("columns", "roles", "ignore", "raw", "tree", "terms")

    path: str
    weight: float = 1.0
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    raw: bool = False
    tree: Tree = Tree.best
    terms: str | None = None

    @classmethod
    def all_of(cls, data: Mapping[str, Any]) -> list[SourceConfig]:
        """Return every source of a config: `path` first, those of `mix` alphabetically.

        Args:
            data: the group `data` of a config, which may be that of an older run and lack options.
        """
        shared = {key: data[key] for key in cls.OPTIONS if key in data}
        sources = [cls._of(str(data["path"]), {**shared, "weight": data.get("weight", 1.0)})]
        for path, value in sorted((data.get("mix") or {}).items()):
            own = value if isinstance(value, Mapping) else {"weight": value}
            sources.append(cls._of(str(path), {"weight": 1.0, **shared, **own}))
        return sources

    @classmethod
    def _of(cls, path: str, options: Mapping[str, Any]) -> SourceConfig:
        tree = options.get("tree", Tree.best)
        return cls(path, **{**options, "tree": tree if isinstance(tree, Tree) else Tree[tree]})
