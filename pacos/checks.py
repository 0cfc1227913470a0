"""What a proof came to, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pacos.errors import UserError, first_line
from pacos.files import append_jsonl, read_jsonl

FINDINGS = "findings.jsonl"
"""Name of the file of findings, beside the config that they are about."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """There is nothing to prove, or not on this machine."""

    why: str


Proof = Callable[[], str | Skipped]
"""Returns what it has shown, or that there was nothing to show.

Raises:
    UserError: it failed; the text says what is wrong and what to set.
"""


class Outcome(Enum):
    """How a proof ended."""

    ok = "ok"
    failed = "failed"
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One proof and its end."""

    proof: str
    outcome: Outcome
    what: str

    def __str__(self) -> str:
        return f"{self.outcome.value:<8} {self.proof:<22} {self.what}"


def prove(name: str, proof: Proof) -> Finding:
    """Try one proof; whatever it raises is a finding."""
    try:
        shown = proof()
    except UserError as error:
        return Finding(name, Outcome.failed, str(error))
    except Exception as error:  # noqa: BLE001  # a broken installation raises anything
        said = first_line(error) if str(error).strip() else ""
        return Finding(name, Outcome.failed, f"{type(error).__name__}: {said}")
    if isinstance(shown, Skipped):
        return Finding(name, Outcome.skipped, shown.why)
    return Finding(name, Outcome.ok, shown)


class Findings:
    """The findings so far, shown as they come and kept in a file that another process reads."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, finding: Finding) -> None:
        """Show and keep a finding."""
        print(finding, flush=True)
        line = {"proof": finding.proof, "outcome": finding.outcome.value, "what": finding.what}
        append_jsonl(self.file, [line])

    def prove(self, name: str, proof: Proof, needs: Sequence[str] = ()) -> None:
        """Try a proof, unless one of those that it `needs` did not succeed."""
        ended = {finding.proof: finding.outcome for finding in self.all()}
        missing = [other for other in needs if ended.get(other) is not Outcome.ok]
        if missing:
            self.add(Finding(name, Outcome.skipped, f"needs: {', '.join(missing)}"))
        else:
            self.add(prove(name, proof))

    def all(self) -> list[Finding]:
        """All findings, those of other processes too."""
        return [
            Finding(line["proof"], Outcome(line["outcome"]), line["what"])
            for line in read_jsonl(self.file)
        ]
