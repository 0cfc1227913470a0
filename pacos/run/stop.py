"""A clean end on request: a STOP file in the run directory, a signal, or a job's time limit.

`StopRequest` knows whether this process was asked to stop. Long loops see it through `StopCheck`,
the one interface for all of them; `sft.monitor.stopping` implements it over ranks.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

LOOK_SECONDS = 0.2
"""Seconds between looks at the disk and the clock, so that any loop may ask as often as it likes:
on a network file system one look can take milliseconds."""

TIME_IS_OVER = "the job's time is over"
"""Beginning of the reason of a stop that nobody asked for. The front end recognizes it and submits
the job again."""

LEAST_RESERVE = 60.0
"""Seconds before the end of a job's time at which a stage stops that knows nothing better."""


class Stopped(Exception):  # noqa: N818
    """The run was asked to save and end; the text is the reason."""


class StopCheck(Protocol):
    """What a long loop asks, again and again."""

    def reason(self) -> str | None:
        """Return the reason for which this process should stop; None to go on."""
        ...

    def check(self) -> None:
        """Go on, or end the work.

        Raises:
            Stopped: the run was asked to stop.
        """
        ...


class NeverStop:
    """The `StopCheck` of work that nobody can ask to stop."""

    def reason(self) -> None:
        return None

    def check(self) -> None:
        pass


NEVER_STOP = NeverStop()


class StopRequest:
    """The stop request of this process: a `StopCheck` that asks nobody else."""

    def __init__(self, file: Path) -> None:
        """Handle signals from now on, and deliver those that `sft.engine.launcher` held back.

        Args:
            file: the run's STOP file.
        """
        self._reserve = LEAST_RESERVE
        self._file = file
        self._signal: str | None = None
        self._reason: str | None = None
        self._looked = -math.inf
        for number in SIGNALS:
            signal.signal(number, self._receive)
        # After the handlers: a signal that was held back arrives in this call and would end the
        # process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal, and tell the other ranks by the STOP file.

        The file reaches ranks that are in no collective. On a full disk they learn it later, in the
        next one.
        """
        # A handler runs between any two instructions, so it only records the request. `_look` acts
        # on it.
        self._signal = signal.Signals(number).name
        with contextlib.suppress(OSError):
            self._file.write_text(f"signal {self._signal}\n")

    def reserve(self, seconds: float) -> None:
        """Set how long saving and ending may take: the process stops that long before its limit."""
        self._reserve = seconds

    def reason(self, *, at_once: bool = False) -> str | None:
        """Return the reason to stop; None to go on. A request that was seen once stays.

        Args:
            at_once: look at the disk and the clock even if that was done a moment ago.
        """
        if self._reason is None:
            self._reason = self._look(at_once)
        return self._reason

    def _look(self, at_once: bool) -> str | None:
        if self._signal is not None:
            return f"signal {self._signal}"
        now = time.monotonic()
        if not at_once and now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        with contextlib.suppress(FileNotFoundError):
            return self._file.read_text(errors="replace").strip() or "STOP file"
        left = seconds_left(self._reserve)
        return None if left is None else f"{TIME_IS_OVER} in {left:.0f} s"

    def check(self, *, at_once: bool = False) -> None:
        """Go on, or end the work.

        Args:
            at_once: as for `reason`.

        Raises:
            Stopped: this process was asked to stop.
        """
        reason = self.reason(at_once=at_once)
        if reason is not None:
            raise Stopped(reason)


def seconds_left(reserve: float) -> float | None:
    """Return the seconds until Slurm's time limit if they are fewer than `reserve`, else None.

    Never in the first half of the job's time: a job that is shorter than its reserve would stop
    before it did anything.
    """
    # In seconds since 1970; older releases of Slurm set neither.
    times = [os.environ.get(f"SLURM_JOB_{name}_TIME") for name in ("START", "END")]
    if None in times:
        return None
    start, end = (float(moment or 0) for moment in times)
    left = end - time.time()
    return left if left < min(reserve, (end - start) / 2) else None
