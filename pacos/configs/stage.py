"""The parts that every stage's config has: the run it belongs to, and what pacos asks of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from pacos.errors import Problem
from pacos.identity import FREE, identity

PLAIN_NAME = re.compile(r"[\w+=-][\w.+=-]{0,199}")
"""A file name that leads nowhere else: no separator, and no leading dot, so neither `.` nor `..`.

200 characters leave room for the suffixes of temporary names; file systems allow 255 bytes.
"""


def is_plain_name(text: str) -> bool:
    """Return True if a text from a config or a data set is safe to use as a file name."""
    return PLAIN_NAME.fullmatch(text) is not None


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """The place where a run is kept."""

    name: str | None = field(default=None, metadata=FREE)
    """Folder of the run below `root`. null: derived from the stage, its subject and the config's
    identity, so that the same command finds its run again."""
    root: str = field(default="runs", metadata=FREE)
    """Folder that holds the runs. A relative path starts where the command is typed."""

    def problems(self) -> list[Problem]:
        if self.name is None or is_plain_name(self.name):
            return []
        fault = "must be one folder name: letters, digits, . _ + = - and no dot at the start"
        return [Problem("run.name", self.name, fault, "put parent folders into run.root")]


class StageConfig(Protocol):
    """The members of a stage's config that the front end and the run directory use."""

    STAGE: ClassVar[str]
    """Name of the stage and of its primary config in `conf/`."""

    run: RunConfig

    def adopt_files(self, typed: Collection[str]) -> None:
        """Take over what files of this machine say, such as the shape of a model.

        Args:
            typed: keys that the user set, which keep their values.
        """
        ...

    def problems(self) -> list[Problem]:
        """Return everything wrong that shows without a device, a file or the network."""
        ...

    def missing_files(self) -> list[Problem]:
        """Return the local files that the config names and that do not exist."""
        ...

    def subject(self) -> str:
        """Return what the run is about, for its default name: a model, a method, a suite."""
        ...


def run_name(config: StageConfig) -> str:
    """Return the run's name: the one given, or one derived from the config's identity."""
    if config.run.name is not None:
        return config.run.name
    # Cut to 100 characters: with stage and digest the name stays a PLAIN_NAME. 8 hex digits are
    # enough: `find_run` compares the fields themselves and refuses a run that only shares the name.
    subject = re.sub(r"[^\w.+=-]+", "-", config.subject())[:100]
    return f"{config.STAGE}-{subject}-{identity(config)[:8]}"
