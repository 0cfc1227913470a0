"""Errors that the user can fix, shown without a traceback, and the exit codes of all programs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXIT_DONE = 0
EXIT_CRASH = 1
EXIT_USER_ERROR = 2
EXIT_SAVED = 85
"""Saved on request: the same command continues the run. 85 is ERESTART on Linux."""


FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk or quota."""
DISK_REMEDIES = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space within your quota",
    errno.EROFS: "have the disk mounted for writing, or choose another run.root",
    errno.EACCES: "get permission to read and write there, or choose another run.root",
    errno.EPERM: "get permission to read and write there, or choose another run.root",
}
"""What the user can do about errors of disks."""


class UserError(Exception):
    """An error that the user can fix; its message names the remedy."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a config."""

    key: str
    """Dotted key, such as `optimizer.lr`."""
    value: object
    fault: str
    """What is wrong with the value, to be read after it: `must be above 0`."""
    remedy: str
    """What to do, in the imperative."""

    def __str__(self) -> str:
        shown = "null" if self.value is None else self.value
        return f"{self.key} = {shown}: {self.fault}; {self.remedy}"


class ConfigError(UserError):
    """All problems of one config, reported together."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"{len(self.problems)} {noun} in the config:"]
        lines += [f"  {problem}" for problem in self.problems]
        super().__init__("\n".join(lines))


def disk_problem(error: BaseException, path: Path) -> UserError | None:
    """Return a user's error for one that a full or unwritable disk caused; None for others.

    Args:
        error: whatever was raised.
        path: what was being written, in case the error does not name it.
    """
    cause: BaseException | None = error
    while cause is not None:
        for number, remedy in DISK_REMEDIES.items():
            message = os.strerror(number)
            matches = isinstance(cause, OSError) and cause.errno == number
            # safetensors and others raise their own errors with the system's message inside.
            if matches or (number in FULL and message in str(cause)):
                place = getattr(cause, "filename", None) or path
                return UserError(f"{place}: {message}; {remedy}, then repeat the command")
        cause = cause.__cause__
    return None


def exit_with(error: UserError) -> int:
    """Print the error and return its exit code."""
    print(f"pacos: {error}", file=sys.stderr)
    return EXIT_USER_ERROR


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, without a final period, to quote in a message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
