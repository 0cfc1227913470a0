"""Finds that ranks do not go on, tells which and where, and ends the job.

Ranks wait for each other in collectives, and one that hangs never comes to them: no message can go
that way. So each rank has a thread that looks at the clock. Only when its rank has done nothing for
too long does it write down where the rank is and what all of its threads do, in a folder of the
run. Who writes nothing there is frozen, or gone.
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
"""Times the longest pause that a rank has made so far: a longer one is taken for its last."""

LOOKS = 20
"""Looks at the clock within the time that is allowed."""

SLOWEST_LOOK = 10.0
"""Most seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a rank is."""

    beats: int
    """Signs of progress so far; all ranks give them at the same places."""
    step: int
    """The last whole one."""
    place: str
    """What it has begun since."""
    seconds: float
    """Ago."""


class Watchdog:
    """The watch over one rank, while the context lasts."""

    def __init__(
        self, run: RunPaths, life: int, rank: int, hosts: Sequence[str], hang_seconds: float
    ) -> None:
        """Prepare; the watch begins with the context.

        Args:
            run: where reports go.
            life: of the run, the same on all ranks.
            rank: this one.
            hosts: name of each rank's machine.
            hang_seconds: least pause that counts as the last.
        """
        self.step = 0
        """The last whole step."""
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
        """That of this rank; every rank calls it."""
        facts = world.gather((platform.node(), Lives(run).count()))
        # Other machines may not see yet what rank 0 has written.
        life = facts[0][1]
        return cls(run, life, world.rank, [host for host, _ in facts], hang_seconds)

    def beat(self, place: str, at_least: float = 0.0) -> None:
        """Give a sign of progress.

        Args:
            place: what this rank begins.
            at_least: seconds that it may take in any case.
        """
        if not self._allowed:
            self._longest = max(self._longest, time.monotonic() - self._since)
        self._begin(place, at_least)

    def _begin(self, place: str, allowed: float) -> None:
        self._beats += 1
        self._place, self._allowed = place, allowed
        self._since = time.monotonic()

    def __enter__(self) -> Watchdog:
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
                # The whole process stood still, as when a job is suspended: that is no pause of it.
                self._since = now
            looked = now
            # What one rank has found out ends them all.
            if now - self._since > self._limit() or self._folder.is_dir():
                self._end_job(wait=2 * pause + 1)

    def _end_job(self, wait: float) -> None:
        self._write_report()
        time.sleep(wait)
        reports = read_reports(self._folder)
        text = f"{diagnosis(reports, self.hosts)}; what each rank did is in {self._folder}"
        if self._rank == min(reports):
            print(f"pacos: {text}", file=sys.stderr, flush=True)
            # Rank 0, whose part it is, may be the one that hangs.
            with contextlib.suppress(OSError):
                Lives(self._run).end(State.failed, text, EXIT_CRASH)
        else:
            time.sleep(wait)
        # The main thread waits in native code and cannot be interrupted.
        os._exit(EXIT_CRASH)

    def _write_report(self) -> None:
        """A line with the position, then the stacks of all threads."""
        self._folder.mkdir(parents=True, exist_ok=True)
        seconds = time.monotonic() - self._since
        position = Position(self._beats, self.step, self._place, seconds)
        path = self._folder / f"rank-{self._rank:04d}.txt"
        partial = path.with_suffix(".tmp")
        with partial.open("w") as file:
            print(json.dumps(asdict(position)), file=file, flush=True)
            faulthandler.dump_traceback(file=file, all_threads=True)
        partial.rename(path)


def read_reports(folder: Path) -> dict[int, Position]:
    """Positions by rank."""
    return {
        int(path.stem.removeprefix("rank-")): Position(**json.loads(path.open().readline()))
        for path in sorted(folder.glob("rank-*.txt"))
    }


def diagnosis(reports: Mapping[int, Position], hosts: Sequence[str]) -> str:
    """Which ranks did not come to where the others are.

    Args:
        reports: of the ranks that answered.
        hosts: name of each rank's machine.
    """
    ahead = max(reports.values(), key=lambda position: position.beats)
    waited = f"no progress for {max(one.seconds for one in reports.values()):.0f} s"
    after = f"after step {ahead.step}" if ahead.step else "in the first step"
    silent = [rank for rank in range(len(hosts)) if rank not in reports]
    behind = [rank for rank, position in reports.items() if position.beats < ahead.beats]
    if silent:
        who = f"{_named(silent, hosts)} did not answer (frozen, killed or cut off)"
    elif behind:
        places = ", ".join(sorted({reports[rank].place for rank in behind}))
        who = f"{_named(behind, hosts)} did not get beyond: {places}"
    else:
        return f"{waited} {after}: all ranks wait for each other in: {ahead.place}"
    return f"{waited} {after}: {who}; the others wait in: {ahead.place}"


def _named(ranks: Iterable[int], hosts: Sequence[str]) -> str:
    return ", ".join(f"rank {rank} on {hosts[rank]}" for rank in ranks)
