"""The message of a check that fails."""

from __future__ import annotations

from collections.abc import Callable

from pacos.checks import Outcome, Skipped, run_check


def failure(check: Callable[[], str | Skipped]) -> str:
    finding = run_check("check", check)
    assert finding.outcome is Outcome.failed
    return finding.message
