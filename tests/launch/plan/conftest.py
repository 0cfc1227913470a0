"""Rows that a plan is made for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """The override that names them."""
    path = tmp_path / "rows.jsonl"
    row = json.dumps({"instruction": "Count to ten, please.", "output": "One, two, three. " * 20})
    path.write_text((row + "\n") * 2000)
    return f"data.path={path}"
