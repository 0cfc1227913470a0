"""Console output of a stage: log lines, and progress with rate and remaining time."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pacos.text.duration import duration

LOGGERS = ("pacos", "selfinstruct", "sft", "eval", "launch")
"""Packages whose log lines are shown in full on rank 0."""

LINE_EVERY_SECONDS = 10.0
"""Pause between progress lines if the output is not a terminal, such as a job's log."""


def set_up_logging(*, is_main: bool) -> None:
    """Send log lines to stderr: pacos' own in full on rank 0, else warnings or errors only.

    The terminal may close before the work is done: see `outlive_terminal`.
    """
    outlive_terminal()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    level = logging.INFO if is_main else logging.ERROR
    if not is_main:
        # Read when transformers and the hub client are imported, so set it before: one bar in all
        # instead of one per rank.
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    # This logger has its own handler, so its warnings would appear twice.
    logging.getLogger("huggingface_hub").propagate = False
    for name in LOGGERS:
        logging.getLogger(name).setLevel(level)


def outlive_terminal() -> None:
    """Keep working when the terminal closes, as under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdout, sys.stderr = map(_tolerant, (sys.stdout, sys.stderr))


def _tolerant(stream: TextIO) -> TextIO:
    is_new = stream.isatty() and not isinstance(stream, _Terminal)
    return cast(TextIO, _Terminal(stream)) if is_new else stream


class _Terminal:
    """A stream to a terminal whose writes do not fail when the terminal is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        """Discard everything written from now on.

        Replacing the file descriptor also covers libraries that kept the original stream.
        """
        # EIO is what a write to a terminal that was closed fails with.
        if error.errno != errno.EIO:
            raise error
        with open(os.devnull, "w", encoding="utf-8") as devnull:
            os.dup2(devnull.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class ProgressMeter:
    """Units done of a piece of work, shown with rate and remaining time."""

    def __init__(self, label: str, total: int, unit: str, bar: Progress | None) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._bar = bar
        self._task = bar.add_task(label, total=total, note="") if bar else None
        self._started = self._printed = time.monotonic()
        self._skipped = 0

    def skip(self, count: int) -> None:
        """Count units done by earlier lives. They do not enter the rate."""
        self._skipped = self.done = count

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count more units as done, and show a note such as the loss."""
        self.done += count
        now = time.monotonic()
        rate = (self.done - self._skipped) / max(now - self._started, 1e-9)
        speed = f"{rate:.2f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate else "…"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, note=f"{speed}  {note}")
        elif now - self._printed >= LINE_EVERY_SECONDS or self.done >= self.total:
            self._printed = now
            left = duration(max(self.total - self.done, 0) / rate) if rate else "?"
            line = f"{self.label}: {self.done}/{self.total} {self.unit}"
            print(f"{line}, {speed}, {left} left  {note}".rstrip(), flush=True)


@contextmanager
def progress(label: str, total: int, unit: str, *, visible: bool = True) -> Iterator[ProgressMeter]:
    """Show progress: a bar on a terminal, occasional lines elsewhere, nothing if not visible."""
    console = Console()
    if not visible:
        yield ProgressMeter(label, sys.maxsize, unit, Progress(disable=True))
        return
    if not console.is_terminal:
        yield ProgressMeter(label, total, unit, None)
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        yield ProgressMeter(label, total, unit, bar)
