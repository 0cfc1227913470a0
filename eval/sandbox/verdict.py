"""What became of a program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
    """How a program ended, and what is to be said of it."""

    outcome: Outcome
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""
        return self.outcome is Outcome.passed

    def __str__(self) -> str:
        return f"{self.outcome.value}: {self.detail}" if self.detail else self.outcome.value
