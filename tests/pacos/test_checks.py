"""What becomes of a proof."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacos.checks import Findings, Skipped
from pacos.errors import UserError


def test_a_proof_ends_in_one_of_three_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise ImportError("libcudart.so.12: cannot open shared object file")

    def refused() -> str:
        raise UserError("key = 1: is wrong; set 2")

    findings = Findings(tmp_path / "findings.jsonl")
    findings.prove("good", lambda: "shown")
    findings.prove("none", lambda: Skipped("no GPU"))
    findings.prove("broken", broken)
    findings.prove("refused", refused)
    findings.prove("later", lambda: "shown", needs=["good", "refused"])
    assert [(one.outcome.value, one.what) for one in findings.all()] == [
        ("ok", "shown"),
        ("skipped", "no GPU"),
        ("failed", "ImportError: libcudart.so.12: cannot open shared object file"),
        ("failed", "key = 1: is wrong; set 2"),
        ("skipped", "needs: refused"),
    ]
    assert len(capsys.readouterr().out.splitlines()) == 5
