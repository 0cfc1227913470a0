"""The check of the terms that rows carry."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pacos.configs.license import LicensePolicy
from pacos.data.sources import open_source
from pacos.distributed import World
from pacos.errors import ConfigError
from sft.config import SFTConfig
from sft.data.terms import check_row_terms

ALONE = World(rank=0, size=1, local_rank=0)


def config(policy: str = "research", terms: str | None = None) -> SFTConfig:
    made = SFTConfig(license_policy=LicensePolicy[policy])
    made.model.name, made.model.path, made.model.license = "base", "owner/base", "apache-2.0"
    made.data.path, made.data.terms = "rows.jsonl", terms
    return made


def test_rows_that_forbid_the_use_end_the_run() -> None:
    found = {"rows.jsonl": ["mit", "cc-by-nc-4.0"]}
    check_row_terms(config(), found, ALONE)
    with pytest.raises(ConfigError, match=r"cc-by-nc-4\.0.*2\(a\)\(1\)"):
        check_row_terms(config("commercial"), found, ALONE)


def test_the_config_states_the_terms_of_rows_that_carry_none() -> None:
    found = {"rows.jsonl": ["", "mit"]}
    check_row_terms(config("commercial", terms="own"), found, ALONE)
    with pytest.raises(ConfigError, match=r"the terms of rows\.jsonl are unknown"):
        check_row_terms(config("commercial"), found, ALONE)
    # What a row says of itself stands.
    with pytest.raises(ConfigError, match="cc-by-nc"):
        check_row_terms(config("commercial", "own"), {"rows.jsonl": ["cc-by-nc-4.0"]}, ALONE)


def test_unknown_terms_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="sft"):
        check_row_terms(config(), {"rows.jsonl": ["", "mine", "mit"]}, ALONE)
    [line] = [record.getMessage() for record in caplog.records]
    assert "rows.jsonl: rows whose terms pacos does not know (none, 'mine')" in line


def test_sources_are_known_by_the_path_of_the_config(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"instruction": "a", "output": "b"}) + "\n")
    assert open_source(str(path)).path == str(path)
