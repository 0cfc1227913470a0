"""A clean end on request: a STOP file in the run directory, or a signal, which means the same."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether somebody asked this process to save and end."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._signal: int | None = None
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._signal = number

    def reason(self) -> str | None:
        """Why to stop; None to go on."""
        if self._signal is not None:
            return f"signal {signal.Signals(self._signal).name}"
        return "STOP file" if self._file.exists() else None
