"""Runs that are killed: where a rank does something to its checkpoints, or from outside."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from pacos.run.open import open_run
from pacos.run_paths import RunPaths
from sft.config import SFTConfig
from tests.sft.ranks import start_processes
from tests.sft.small_runs import Plant, small_config, train_here

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
"""Audit events of Python that change a file system; opening a file to write is another."""


@dataclass(frozen=True)
class DieAt:
    """A plant: the rank kills itself when it does something for the nth time in its life."""

    rank: int
    what: str
    """As `watched` tells it."""
    nth: int = 1

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        seen: Counter[str] = Counter()

        def look(what: str) -> None:
            seen[what] += 1
            if what == self.what and seen[what] == self.nth:
                os.kill(os.getpid(), signal.SIGKILL)

        if int(os.environ["RANK"]) == self.rank:
            with watched(look):
                yield
        else:
            yield


@dataclass(frozen=True)
class Record:
    """A plant: each rank lists what it does in its life."""

    folder: Path

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        seen: list[str] = []
        with watched(seen.append):
            yield
        (self.folder / f"rank-{os.environ['RANK']}").write_text("\n".join(seen))

    def read(self, rank: int) -> list[str]:
        return (self.folder / f"rank-{rank}").read_text().splitlines()


@contextlib.contextmanager
def watched(look: Callable[[str], None]) -> Iterator[None]:
    """Look at every change to a folder of checkpoints, and at every tensor that is written."""
    from sft.checkpoints import shards

    plain = shards._content

    def content(tensor: Any) -> memoryview:
        look("tensor")
        return plain(tensor)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        _, found, inside = str(path).partition("/checkpoints/")
        if found:
            # Neither the step nor a name that is drawn, so that it is the same in every save.
            look(f"{event} {re.sub(r'step-[0-9]+(.[0-9a-f]{6})?|[.][0-9]+(?=.tmp)', '', inside)}")

    shards._content = content
    sys.addaudithook(audit)  # for ever: the process has one life
    try:
        yield
    finally:
        shards._content = plain


Meddle = Callable[[RunPaths, list[Any]], None]
"""What is done to a life from outside, with its run and its processes."""


def mortal_life(config: SFTConfig, plant: Plant, meddle: Meddle | None = None) -> list[int]:
    """One life over 2 ranks; returns exit codes.

    When one rank dies the others are killed, as by a launcher; when one refuses to work, they have
    a while to say their part.
    """
    run = open_run(config)
    ranks = start_processes(2, _exit_with_code, config, run.path, plant)
    if meddle:
        meddle(run, ranks)
    alive = list(ranks)
    while alive:
        is_failing = any(rank.exitcode for rank in ranks)
        ended = connection.wait([rank.sentinel for rank in alive], 30 if is_failing else None)
        if not ended or any((rank.exitcode or 0) < 0 for rank in ranks):
            for rank in alive:
                rank.kill()
        alive = [rank for rank in alive if rank.exitcode is None]
    return [rank.exitcode for rank in ranks]


def _exit_with_code(config: SFTConfig, path: Path, plant: Plant) -> None:
    sys.exit(train_here([config], [path], [plant])[0])


def run_config(folder: Path, name: str, **changes: Any) -> SFTConfig:
    """A run over 2 ranks."""
    config = small_config(folder, name, **changes)
    config.cluster.ranks_per_node = 2
    return config
