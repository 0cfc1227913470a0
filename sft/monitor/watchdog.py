"""The watchdog of each rank: detects that ranks hang, reports which ones and where, ends the job.

Ranks wait for each other in collectives, and a rank that hangs never reaches the next one, so no
message can go that way. Instead each rank has a thread that looks at the clock. If its rank has
made no progress for too long, the thread writes the rank's position and the stacks of all its
threads to a folder of the run. A rank that writes nothing there is frozen or gone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from pacos.distributed import World
from pacos.errors import EXIT_CRASH
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths

PATIENCE = 3
"""A pause longer than this many times the rank's longest pause so far counts as a hang."""

LOOKS = 20
"""Looks at the clock within the shortest pause that counts as a hang."""

SLOWEST_LOOK = 10.0
"""Longest time between two looks, in seconds."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a rank is in the program."""

    beats: int
    """Signs of progress so far. All ranks give them at the same places, so fewer means behind."""
    step: int
    """The last finished step."""
    place: str
    """What the rank has begun since."""
    seconds: float
    """Seconds since it began that."""


class Watchdog:
    """Watches one rank while its context lasts."""

    def __init__(
        self, run: RunPaths, life: int, rank: int, hosts: Sequence[str], hang_seconds: float
    ) -> None:
        """Prepare; the watch begins with the context.

        Args:
            run: the run that the reports belong to.
            life: number of this life, the same on all ranks.
            rank: number of this rank.
            hosts: name of each rank's machine.
            hang_seconds: shortest pause that counts as a hang.
        """
        self._step = 0
        self._run = run
        self._folder = run.stacks / f"life-{life}"
        self._rank = rank
        self.hosts = hosts
        """Name of each rank's machine."""
        self._least = hang_seconds
        self._beats = 0
        self._begin("start", 0.0)
        self._longest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @classmethod
    def of(cls, run: RunPaths, world: World, hang_seconds: float) -> Watchdog:
        """Return the watchdog of this rank; every rank calls it."""
        facts = world.gather((platform.node(), Lives(run).count()))
        # Rank 0's count: other machines may not see yet what it has written.
        life = facts[0][1]
        return cls(run, life, world.rank, [host for host, _ in facts], hang_seconds)

    def step_done(self, step: int) -> None:
        """Take note of the last finished step, for reports."""
        self._step = step

    def beat(self, place: str, at_least: float = 0.0) -> None:
        """Give a sign of progress.

        Args:
            place: what this rank begins now.
            at_least: seconds that it may take in any case.
        """
        # Pauses with an allowance of their own would stretch the limit for all others.
        if not self._allowed:
            self._longest = max(self._longest, time.monotonic() - self._since)
        self._begin(place, at_least)

    def _begin(self, place: str, allowed: float) -> None:
        self._beats += 1
        self._place, self._allowed = place, allowed
        self._since = time.monotonic()

    def __enter__(self) -> Watchdog:
        # Loading the model before was not watched, and its pauses say nothing about steps.
        self._begin("start", 0.0)
        self._longest = 0.0
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()

    def _limit(self) -> float:
        return max(self._least, self._allowed, PATIENCE * self._longest)

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._over.wait(pause := min(SLOWEST_LOOK, self._least / LOOKS)):
            now = time.monotonic()
            if now - looked > 2 * pause + 1:
                # This thread stood still too, so the whole process did, as in a suspended job.
                self._since = now
            looked = now
            # A folder means that another rank has found a hang, which ends all of them.
            if now - self._since > self._limit() or self._folder.is_dir():
                self._end_job(wait=2 * pause + 1)

    def _end_job(self, wait: float) -> None:
        self._write_report()
        # Every thread that still runs looks at the folder within this time, and reports as well.
        time.sleep(wait)
        reports = read_reports(self._folder)
        text = f"{diagnosis(reports, self.hosts)}; what each rank did is in {self._folder}"
        if self._rank == min(reports):
            print(f"pacos: {text}", file=sys.stderr, flush=True)
            # Usually rank 0 records the end of a life, but it may be the one that hangs.
            with contextlib.suppress(OSError):
                Lives(self._run).end(State.failed, text, EXIT_CRASH)
        else:
            time.sleep(wait)
        # Not an exception: the main thread waits in native code and cannot be interrupted.
        os._exit(EXIT_CRASH)

    def _write_report(self) -> None:
        """Write a line with the position, then the stacks of all threads."""
        self._folder.mkdir(parents=True, exist_ok=True)
        seconds = time.monotonic() - self._since
        position = Position(self._beats, self._step, self._place, seconds)
        path = self._folder / f"rank-{self._rank:04d}.txt"
        partial = path.with_suffix(".tmp")
        with partial.open("w") as file:
            print(json.dumps(asdict(position)), file=file, flush=True)
            faulthandler.dump_traceback(file=file, all_threads=True)
        partial.rename(path)


def read_reports(folder: Path) -> dict[int, Position]:
    """Return the positions of the ranks that have written one."""
    return {
        int(path.stem.removeprefix("rank-")): Position(**json.loads(path.open().readline()))
        for path in sorted(folder.glob("rank-*.txt"))
    }


def diagnosis(reports: Mapping[int, Position], hosts: Sequence[str]) -> str:
    """Name the ranks that did not reach the place where the others are.

    Args:
        reports: positions of the ranks that answered.
        hosts: name of each rank's machine.
    """
    ahead = max(reports.values(), key=lambda position: position.beats)
    longest = max(position.seconds for position in reports.values())
    after = f"after step {ahead.step}" if ahead.step else "in the first step"
    waited = f"no progress for {longest:.0f} s {after}"
    silent = [rank for rank in range(len(hosts)) if rank not in reports]
    behind = [rank for rank, position in reports.items() if position.beats < ahead.beats]
    if silent:
        culprits = f"{_named(silent, hosts)} did not answer (frozen, killed or cut off)"
    elif behind:
        places = ", ".join(sorted({reports[rank].place for rank in behind}))
        culprits = f"{_named(behind, hosts)} did not get beyond: {places}"
    else:
        return f"{waited}: all ranks wait for each other in: {ahead.place}"
    return f"{waited}: {culprits}; the others wait in: {ahead.place}"


def _named(ranks: Iterable[int], hosts: Sequence[str]) -> str:
    return ", ".join(f"rank {rank} on {hosts[rank]}" for rank in ranks)
