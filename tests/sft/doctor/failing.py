"""What a proof says that fails."""

from __future__ import annotations

from collections.abc import Callable

from pacos.checks import Outcome, Skipped, prove


def failure(proof: Callable[[], str | Skipped]) -> str:
    finding = prove("proof", proof)
    assert finding.outcome is Outcome.failed
    return finding.what
