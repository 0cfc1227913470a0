"""The run that checks look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft.config import SFTConfig
from tests.sft.small_runs import small_config


@pytest.fixture
def config(tmp_path: Path) -> SFTConfig:
    return small_config(tmp_path, "run")
