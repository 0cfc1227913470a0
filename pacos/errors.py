"""Mistakes of the user: shown without a traceback, exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

EXIT_DONE = 0
EXIT_CRASH = 1
EXIT_USER_ERROR = 2
EXIT_SAVED = 85
"""Saved on request: run the same command again to go on."""


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


def exit_with(error: UserError) -> int:
    """Print the error for a person and return the exit code for it."""
    print(f"pacos: {error}", file=sys.stderr)
    return EXIT_USER_ERROR
