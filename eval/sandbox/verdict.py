"""What became of a program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_DETAIL = 300
"""Characters that a program can add to a verdict."""


class Outcome(Enum):
    """How a program and its tests ended; all but the first are failures."""

    passed = "passed"
    failed = "a test failed"
    raised = "raised"
    timed_out = "timed out"
    ended = "ended by itself"
    malformed = "answered in another form"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a program ended, and what is to be said of it; programs have a say in that."""

    outcome: Outcome
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""
        return self.outcome is Outcome.passed

    @classmethod
    def saying(cls, outcome: Outcome, text: str) -> Verdict:
        """A verdict with a text that may come from a program: short, and fit to be written."""
        return cls(outcome, text[:MAX_DETAIL].encode(errors="replace").decode())

    def __str__(self) -> str:
        return f"{self.outcome.value}: {self.detail}" if self.detail else self.outcome.value
