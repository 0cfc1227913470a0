from pathlib import Path
from typing import Any

import pytest

from pacos.configs.compose import compose_checked
from pacos.configs.frozen import freeze, load_frozen
from pacos.data.source_config import SourceConfig, Tree
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


def test_every_source_has_options_of_its_own(rows: Path) -> None:
    more, other = rows.with_name("more.jsonl"), rows.with_name("other.jsonl")
    more.touch()
    other.touch()
    own = "{weight: 2, columns: {frage: question}, roles: {}, tree: all}"
    config = compose_checked(
        SFTConfig,
        SCHEMAS,
        [
            f"data.path={rows}",
            "+data.columns={speaker: role}",
            "+data.roles={bot: assistant}",
            'data.ignore=[category,"messages[].model"]',
            f"+data.mix={{{more}: {own}, {other}: 0.5}}",
        ],
    )
    freeze(config, rows.parent / "config.yaml")
    shared = {"roles": {"bot": "assistant"}, "ignore": ["category", "messages[].model"]}
    for data in (config.data, load_frozen(rows.parent / "config.yaml", SFTConfig).data):
        assert data.sources() == [
            SourceConfig(str(rows), 1.0, {"speaker": "role"}, **shared),
            SourceConfig(
                str(more),
                2,
                {"frage": "question"},
                roles={},
                ignore=shared["ignore"],
                tree=Tree.all,
            ),
            SourceConfig(str(other), 0.5, {"speaker": "role"}, **shared),
        ]


def test_options_without_a_meaning_are_told_together() -> None:
    data = DataConfig(
        path="a.jsonl",
        columns={"question": "frage", "x": "y", "z": "answer"},
        roles={"user": "bot", "x": "y"},
        ignore=["z"],
        mix={
            "./a.jsonl": 1,
            "b": True,
            "c": {"wight": 2, "tree": "bst", "columns": {1: "text"}, "ignore": "x", "raw": 1},
            "d": {"columns": {"x": "messages"}, "roles": {"bot": "user"}, "raw": True},
            "e": "1",
            "f": {"weight": 0, "roles": ["bot"]},
        },
    )
    texts = [str(problem) for problem in data.problems()]
    expected = [
        "data.columns = question: frage: frage means nothing to pacos; your name comes first: "
        "{frage: question}",
        "data.columns = x: y: y means nothing to pacos; use one of messages, ",
        "data.columns = z: answer: z is also in data.ignore; remove one of them",
        "data.roles = user: bot: bot is no role; your role comes first: {bot: user}",
        "data.roles = x: y: y is no role; use system, user, assistant, tool",
        "data.mix = ./a.jsonl: is already data.path; set data.weight, and remove it from data.mix",
        "data.mix.b = True: must be a number or a mapping; ",
        "data.mix.c.wight = 2: no such key; use weight, columns, roles, ignore, raw, tree",
        "data.mix.c.raw = 1: must be true or false",
        "data.mix.c.tree = bst: must be best or all",
        "data.mix.c.ignore = x: must be a list of columns",
        "data.mix.c.columns = {1: 'text'}: must map names to names",
        "data.mix.d.columns = x: messages: messages means nothing to pacos with data.raw=true; ",
        "data.mix.d.roles = bot: has no meaning with data.raw=true; remove one of them",
        "data.mix.e = 1: must be a number or a mapping; ",
        "data.mix.f.weight = 0: must be above 0; give the passes per epoch",
        "data.mix.f.roles = ['bot']: must map roles to roles; ",
    ]
    for text, start in zip(texts, expected, strict=True):
        assert text.startswith(start)
    assert [source.weight for source in data.sources()] == [1.0] * 7


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
    (problem,) = DataConfig(path="a/b", mix={"c/d": 1.0, "./c/d": 1.0}).problems()
    assert str(problem) == "data.mix = ./c/d: is already data.mix.c/d; remove one"


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
