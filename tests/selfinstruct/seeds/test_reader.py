from __future__ import annotations

from pathlib import Path

from pacos.configs.compose import compose_checked
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.dataset.export import seed_rows
from selfinstruct.seeds.reader import read_seeds


def compose(*overrides: str) -> SelfInstructConfig:
    return compose_checked(SelfInstructConfig, SCHEMAS, ["seeds.heldout=25", *overrides])


def test_a_file_of_the_user_is_told_apart_by_language(tmp_path: Path) -> None:
    shipped = [path.read_text() for path in compose("lang=en_ko").seed_files().values()]
    own = tmp_path / "own.jsonl"
    own.write_text("".join(shipped))
    config = compose("lang=en_ko", f"seeds.path={own}", "seeds.terms=CC-BY-4.0")
    seeds = read_seeds(config)
    assert {lang: len(tasks) for lang, tasks in seeds.items()} == {"en": 175, "ko": 175}
    assert {row.lineage["terms"] for row in seed_rows(seeds["ko"], config)} == {"CC-BY-4.0"}
    assert compose().seeds.source_terms() == "apache-2.0"
