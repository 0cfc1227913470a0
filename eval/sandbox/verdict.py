"""The verdict on a program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_DETAIL = 300
"""Characters that a program can contribute to its verdict."""


class Outcome(Enum):
    """The end of a program and its tests; every outcome but `passed` is a failure.

    The values are written to results.
    """

    passed = "passed"
    failed = "a test failed"
    raised = "raised"
    timed_out = "timed out"
    ended = "ended by itself"
    malformed = "answered in another form"


@dataclass(frozen=True, slots=True)
class ProgramVerdict:
    """The outcome of a program, with a detail that the program may have written."""

    outcome: Outcome
    detail: str = ""

    @property
    def passed(self) -> bool:
        """True if all tests passed."""
        return self.outcome is Outcome.passed

    @classmethod
    def with_text(cls, outcome: Outcome, text: str) -> ProgramVerdict:
        """Return a verdict with a program's text, cut to size and made encodable as UTF-8.

        A lone surrogate in an exception's message would otherwise fail the write of the verdict,
        and end the evaluation instead of the program.
        """
        return cls(outcome, text[:MAX_DETAIL].encode(errors="replace").decode())

    def __str__(self) -> str:
        return f"{self.outcome.value}: {self.detail}" if self.detail else self.outcome.value
