"""A config of ten rows, and a cache of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sft.config import SFTConfig
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.data.small_data import record, write


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACOS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def config(tmp_path: Path) -> SFTConfig:
    config = SFTConfig()
    config.data.path = write(tmp_path / "rows.jsonl", [record("main", n) for n in range(10)])
    config.data.max_length = 256
    return config
