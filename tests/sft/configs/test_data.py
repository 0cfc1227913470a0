from pathlib import Path
from typing import Any

import pytest

from pacos.configs.compose import compose_checked
from pacos.configs.frozen import freeze, load_frozen
from pacos.errors import ConfigError
from pacos.identity import identity
from sft.config import SCHEMAS, SFTConfig
from sft.configs.batch import BatchConfig, Layout
from sft.configs.data import DataConfig, OnError, TooLong


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.touch()
    return path


def problems(*overrides: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        compose_checked(SFTConfig, SCHEMAS, overrides)
    return {problem.key: f"{problem.fault}; {problem.remedy}" for problem in error.value.problems}


def test_a_mixture_is_written_on_the_command_line(rows: Path) -> None:
    more = rows.rename(rows.with_name("more.jsonl"))
    rows.touch()
    config = compose_checked(
        SFTConfig,
        SCHEMAS,
        [
            f"data.path={rows}",
            "data.weight=0.5",
            f"+data.mix={{owner/name@v1.0:2,{more}:0.25}}",
            "data.too_long=cut_turns",
            "data.on_error=quarantine",
            "batch.layout=padded",
        ],
    )
    assert list(config.data.weights().items()) == [
        (str(rows), 0.5),
        *sorted([("owner/name@v1.0", 2.0), (str(more), 0.25)]),
    ]
    assert config.data.too_long is TooLong.cut_turns
    assert config.data.on_error is OnError.quarantine
    assert config.batch.layout is Layout.padded
    freeze(config, rows.parent / "config.yaml")
    assert load_frozen(rows.parent / "config.yaml", SFTConfig) == config
    assert len(identity(config)) == 64


def test_every_path_is_looked_for(rows: Path) -> None:
    found = problems("data.path=gone.jsonl", f"+data.mix={{also_gone.json:1,{rows}:1}}")
    assert found["data.path"].startswith("no gone.jsonl; give a finished run of pacos selfinstruct")
    assert found["data.mix"].startswith("no also_gone.json; ")


@pytest.mark.parametrize(
    ("override", "key", "says"),
    [
        ("data.weight=0", "data.weight", "must be above 0"),
        ("+data.mix={a/b:-1}", "data.mix.a/b", "must be above 0"),
        ("data.max_length=0", "data.max_length", "at least 1"),
        ("data.too_long=cut", "data.too_long", "cut_turns"),
        ("batch.layout=flat", "batch.layout", "grouped"),
        ("batch.micro_packs=0", "batch.micro_packs", "at least 1"),
    ],
)
def test_impossible_values(rows: Path, override: str, key: str, says: str) -> None:
    assert says in problems(f"data.path={rows}", override)[key]


def test_a_path_is_named_once() -> None:
    (problem,) = DataConfig(path="a/b", mix={"a/b": 1.0}).problems()
    assert problem.key == "data.mix"


@pytest.mark.parametrize(
    ("batch", "key"),
    [
        ({}, "batch.rows, batch.tokens"),
        ({"rows": 1, "tokens": 1}, "batch.rows, batch.tokens"),
        ({"rows": 7}, "batch.rows"),
        ({"tokens": 8 * 512 - 1}, "batch.tokens"),
        ({"tokens": 0}, "batch.tokens"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused(batch: dict[str, Any], key: str) -> None:
    (problem,) = BatchConfig(**batch).problems(max_length=512, ranks=8)
    assert problem.key == key


def test_rows_that_share_no_pack_need_no_pack_for_each_rank() -> None:
    assert not BatchConfig(tokens=1000, layout=Layout.grouped).problems(max_length=512, ranks=8)
