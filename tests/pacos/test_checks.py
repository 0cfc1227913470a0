"""What becomes of a check."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacos.checks import Findings, Skipped
from pacos.errors import UserError


def test_a_check_ends_in_one_of_three_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise ImportError("libcudart.so.12: cannot open shared object file")

    def refused() -> str:
        raise UserError("key = 1: is wrong; set 2")

    findings = Findings(tmp_path / "findings.jsonl")
    findings.run("good", lambda: "shown")
    findings.run("none", lambda: Skipped("no GPU"))
    findings.run("broken", broken)
    findings.run("refused", refused)
    findings.run("later", lambda: "shown", needs=["good", "refused"])
    assert [(one.outcome.value, one.message) for one in findings.all()] == [
        ("ok", "shown"),
        ("skipped", "no GPU"),
        ("failed", "ImportError: libcudart.so.12: cannot open shared object file"),
        ("failed", "key = 1: is wrong; set 2"),
        ("skipped", "needs: refused"),
    ]
    assert len(capsys.readouterr().out.splitlines()) == 5
