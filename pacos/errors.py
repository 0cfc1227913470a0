"""Mistakes of the user: shown without a traceback, exit code 2."""

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
"""Saved on request: run the same command again to go on."""


FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_REMEDIES = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space within your quota",
    errno.EROFS: "have the disk mounted for writing, or choose another run.root",
    errno.EACCES: "get the right to read and write there, or choose another run.root",
    errno.EPERM: "get the right to read and write there, or choose another run.root",
}
"""What a person can do about errors of disks."""


class UserError(Exception):
    """Something the user can put right; its text names the remedy."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a config."""

    key: str
    value: object
    what: str
    remedy: str

    def __str__(self) -> str:
        shown = "null" if self.value is None else self.value
        return f"{self.key} = {shown}: {self.what}; {self.remedy}"


class ConfigError(UserError):
    """All problems of one config, reported together."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"{len(self.problems)} {noun} in the config:"]
        lines += [f"  {problem}" for problem in self.problems]
        super().__init__("\n".join(lines))


def disk_problem(error: BaseException, path: Path) -> UserError | None:
    """What to tell the user about an error that a full or unwritable disk made; None for others.

    Args:
        error: whatever was raised.
        path: what was written to, where the error itself does not say it.
    """
    cause: BaseException | None = error
    while cause is not None:
        for number, remedy in DISK_REMEDIES.items():
            words = os.strerror(number)
            is_it = isinstance(cause, OSError) and cause.errno == number
            # Libraries raise errors of their own, with the system's words in them.
            if is_it or (number in FULL and words in str(cause)):
                place = getattr(cause, "filename", None) or path
                return UserError(f"{place}: {words}; {remedy}, and give the same command again")
        cause = cause.__cause__
    return None


def exit_with(error: UserError) -> int:
    """Print the error for a person and return the exit code for it."""
    print(f"pacos: {error}", file=sys.stderr)
    return EXIT_USER_ERROR


def first_line(error: BaseException) -> str:
    """The part of a library's message that says what is wrong."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
