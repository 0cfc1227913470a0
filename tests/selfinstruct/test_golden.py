"""Recorded replies of a real model make the same rows as on the day they were recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.selfinstruct import golden


@pytest.mark.parametrize("method", golden.METHODS)
def test_recorded_replies_make_the_same_rows(method: str, tmp_path: Path) -> None:
    run, kept = golden.replayed(method, tmp_path), golden.ASSETS / method
    assert golden.generated(run) == (kept / "generated.jsonl").read_bytes()
    for name in ("rejected.jsonl", "ledger.jsonl"):
        assert (run.data / name).read_bytes() == (kept / name).read_bytes()
