"""The outcome of a check, and how it is shown and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pacos.errors import UserError, first_line
from pacos.files import append_jsonl, read_jsonl

FINDINGS = "findings.jsonl"
"""Name of the findings file, in the folder of the config that was checked."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The result of a check that does not apply, or not on this machine."""

    why: str


CheckFunction = Callable[[], str | Skipped]
"""Returns a line that describes what holds, or Skipped.

Raises:
    UserError: the check failed; the message names the problem and the setting to change.
"""


class Outcome(Enum):
    """The outcome of a check."""

    ok = "ok"
    failed = "failed"
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check with its outcome."""

    check: str
    outcome: Outcome
    message: str

    def __str__(self) -> str:
        return f"{self.outcome.value:<8} {self.check:<22} {self.message}"


def run_check(name: str, check: CheckFunction) -> Finding:
    """Run one check and turn whatever it raises into a finding."""
    try:
        result = check()
    except UserError as error:
        return Finding(name, Outcome.failed, str(error))
    except Exception as error:  # noqa: BLE001  # a broken installation raises anything
        text = first_line(error) if str(error).strip() else ""
        return Finding(name, Outcome.failed, f"{type(error).__name__}: {text}")
    if isinstance(result, Skipped):
        return Finding(name, Outcome.skipped, result.why)
    return Finding(name, Outcome.ok, result)


class Findings:
    """The findings so far, printed as they come and kept in a file that other processes read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, finding: Finding) -> None:
        """Print and keep a finding."""
        print(finding, flush=True)
        line = {
            "check": finding.check,
            "outcome": finding.outcome.value,
            "message": finding.message,
        }
        append_jsonl(self.file, [line])

    def run(self, name: str, check: CheckFunction, needs: Sequence[str] = ()) -> None:
        """Run a check, unless one of the checks that it `needs` did not succeed."""
        outcomes = {finding.check: finding.outcome for finding in self.all()}
        missing = [other for other in needs if outcomes.get(other) is not Outcome.ok]
        if missing:
            self.add(Finding(name, Outcome.skipped, f"needs: {', '.join(missing)}"))
        else:
            self.add(run_check(name, check))

    def all(self) -> list[Finding]:
        """Return all findings, those of other processes included."""
        return [
            Finding(line["check"], Outcome(line["outcome"]), line["message"])
            for line in read_jsonl(self.file)
        ]
