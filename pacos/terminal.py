"""A terminal that closes: work goes on, and what it would have said there is dropped."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any, TextIO, cast


def outlive_terminal() -> None:
    """Go on when the terminal closes, as under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdout, sys.stderr = map(_outlived, (sys.stdout, sys.stderr))


def _outlived(stream: TextIO) -> TextIO:
    is_new = stream.isatty() and not isinstance(stream, _Terminal)
    return cast(TextIO, _Terminal(stream)) if is_new else stream


class _Terminal:
    """A stream to a terminal, whose writes do not fail when that is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._leave(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._leave(error)

    def _leave(self, error: OSError) -> None:
        """Write nowhere from now on; for libraries, too, that have the stream from before."""
        if error.errno != errno.EIO:
            raise error
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
