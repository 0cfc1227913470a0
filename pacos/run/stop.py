"""A clean end on request: a STOP file in the run directory, a signal, a job whose time is over."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

LOOK_SECONDS = 0.2
"""Pause between looks at the disk and the clock, so that any loop may ask as often as it likes."""

TIME_IS_OVER = "the job's time is over"
"""Beginning of the reason of a stop that nobody asked for."""

LEAST_RESERVE = 60.0
"""Seconds before the end of a job's time at which a stage stops that knows nothing better."""


class Stopped(Exception):  # noqa: N818
    """Somebody asked the run to save and end; the text says who."""


Check = Callable[[], None]
"""Called again and again by work that takes long; raises Stopped to end it."""


def go_on() -> None:
    """The check of work that nobody asks to stop."""


class StopRequest:
    """Whether somebody asked this process to save and end."""

    def __init__(self, file: Path) -> None:
        """Take signals from now on, and those that `sft.engine.launcher` held back."""
        self.reserve = LEAST_RESERVE
        """Seconds that saving and ending may take: so long before a job's time is over it stops."""
        self._file = file
        self._signal: str | None = None
        self._asked: str | None = None
        self._looked = -math.inf
        for number in SIGNALS:
            signal.signal(number, self._receive)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """The file tells the other ranks, wherever they are; on a full disk they learn it later."""
        self._signal = signal.Signals(number).name
        with contextlib.suppress(OSError):
            self._file.write_text(f"signal {self._signal}\n")

    def reason(self, *, at_once: bool = False) -> str | None:
        """Why to stop; None to go on. A request once seen stays.

        Args:
            at_once: whether to look at the disk and the clock even if that was done just now.
        """
        if self._asked is None:
            self._asked = self._reason(at_once)
        return self._asked

    def _reason(self, at_once: bool) -> str | None:
        if self._signal is not None:
            return f"signal {self._signal}"
        now = time.monotonic()
        if not at_once and now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        with contextlib.suppress(FileNotFoundError):
            return self._file.read_text(errors="replace").strip() or "STOP file"
        left = seconds_left(self.reserve)
        return None if left is None else f"{TIME_IS_OVER} in {left:.0f} s"

    def check(self) -> None:
        """Go on, or not.

        Raises:
            Stopped: somebody asked for it.
        """
        reason = self.reason()
        if reason is not None:
            raise Stopped(reason)


def seconds_left(reserve: float) -> float | None:
    """Until Slurm ends this job for its time, if that is less than `reserve`, else None.

    Never in the first half of the job's time: a job that is too short for its reserve would come to
    nothing.
    """
    times = [os.environ.get(f"SLURM_JOB_{name}_TIME") for name in ("START", "END")]
    if None in times:
        return None
    start, end = (float(moment or 0) for moment in times)
    left = end - time.time()
    return left if left < min(reserve, (end - start) / 2) else None
