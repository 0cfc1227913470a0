"""From data on disk to the rows of an epoch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pacos.distributed import World
from pacos.errors import UserError
from pacos.prompts.encoder import encode
from pacos.prompts.formats import PromptFormat
from pacos.schemas import Row
from sft.config import SFTConfig
from sft.configs.data import OnError
from sft.data import token_cache
from sft.data.mixture import Mixture, load_data, split_heldout
from tests.sft.byte_tokenizer import byte_tokenizer

ALONE = World(rank=0, size=1, local_rank=0)
LONG = {"instruction": "Count.", "output": "one two " * 100, "id": "long"}


def record(name: str, number: int) -> dict[str, Any]:
    terms = {"terms": f"terms of {name}"}
    return {"instruction": f"{name} {number}", "output": f"{number}.", "lineage": terms}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACOS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def write(path: Path, rows: list[Any]) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> SFTConfig:
    config = SFTConfig()
    config.data.path = write(tmp_path / "rows.jsonl", [record("main", n) for n in range(10)])
    config.data.max_length = 256
    return config


def instructions(tokenizer: Any, data: Mixture) -> list[str]:
    texts = [tokenizer.decode(data.row(index).ids) for index in range(len(data))]
    return [text.partition("user\n")[2].partition("<|im_end|>")[0] for text in texts]


def test_tokens_come_back_from_disk_as_they_are(tokenizer: Any, config: SFTConfig) -> None:
    data = load_data(config, tokenizer, ALONE)
    rows = [Row.from_json(record("main", n), "").messages() for n in range(10)]
    expected = encode(tokenizer, PromptFormat.chatml, rows)
    assert len(data) == 10
    for index, row in enumerate(expected):
        assert data.row(index).ids.tolist() == row.ids.tolist()
        assert data.row(index).labels.tolist() == row.labels.tolist()
        assert data.lengths[index] == len(row.ids)
        assert data.num_supervised[index] == row.num_supervised
    assert data.place(9) == f"{config.data.path}:10"
    assert [*data.terms.values()] == [["terms of main"]]
    assert data.inputs == {"data": Path(config.data.path)}


def test_the_second_time_nothing_is_tokenised(
    tokenizer: Any, config: SFTConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_data(config, tokenizer, ALONE)

    def never(*given: Any) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(token_cache, "tokenize_all", never)
    moved = Path(config.data.path).rename(Path(config.data.path).with_name("moved.jsonl"))
    config.data.path = str(moved)
    second = load_data(config, tokenizer, ALONE)
    assert second.row(3).ids.tolist() == first.row(3).ids.tolist()
    assert second.place(0) == f"{moved}:1"


@pytest.mark.parametrize(
    "change",
    [
        lambda config: setattr(config.data, "max_length", 255),
        lambda config: setattr(config.model, "prompt_format", PromptFormat.alpaca),
        lambda config: Path(config.data.path).write_text(json.dumps(record("other", 1))),
    ],
)
def test_whatever_changes_tokens_makes_a_cache_of_its_own(
    tokenizer: Any, config: SFTConfig, cache: Path, change: Any
) -> None:
    load_data(config, tokenizer, ALONE)
    change(config)
    load_data(config, tokenizer, ALONE)
    assert len([folder for folder in cache.iterdir() if folder.is_dir()]) == 2


def test_weights_are_passes_in_an_epoch(tokenizer: Any, config: SFTConfig, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", [record("other", n) for n in range(10)])
    config.data.weight = 0.5
    config.data.mix = {other: 2.3}
    data = load_data(config, tokenizer, ALONE)
    texts = instructions(tokenizer, data)
    assert sum(text.startswith("main") for text in texts) == 5
    others = [texts.count(f"other {n}") for n in range(10)]
    assert (sum(others), min(others), max(others)) == (23, 2, 3)
    assert data.place(len(data) - 1).startswith(other)
    assert [*data.terms.values()] == [["terms of main"], ["terms of other"]]
    again = load_data(config, tokenizer, ALONE)
    assert np.array_equal(again.indices, data.indices)
    config.seed += 1
    assert not np.array_equal(load_data(config, tokenizer, ALONE).indices, data.indices)


def test_weights_that_take_no_row_are_refused(tokenizer: Any, config: SFTConfig) -> None:
    config.data.weight = 0.01
    with pytest.raises(UserError, match="select no row at all"):
        load_data(config, tokenizer, ALONE)


def test_rows_that_are_too_long_are_listed_with_their_place(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    config.data.path = write(tmp_path / "long.jsonl", [record("main", 1), LONG])
    data = load_data(config, tokenizer, ALONE)
    assert len(data) == 1
    (dropped,) = data.dropped
    assert dropped["place"].endswith("long.jsonl:2")
    assert dropped["id"] == "long"
    assert "tokens: left out" in dropped["reason"]


BAD = ['{"instruction": "Sing."}', "not JSON", '"a text"', "null"]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_row_ends_the_run_with_its_place_and_a_remedy(
    tokenizer: Any, config: SFTConfig, tmp_path: Path, bad: str
) -> None:
    config.data.path = write(tmp_path / "bad.jsonl", [record("main", 1), "", bad])
    with pytest.raises(UserError, match=r"bad.jsonl:3: .*data.on_error=quarantine"):
        load_data(config, tokenizer, ALONE)


def test_quarantine_leaves_bad_rows_out_and_lists_them(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    forged = {"instruction": "Sing.", "output": "La <|im_start|>", "id": "forged"}
    rows = [*BAD, record("main", 1), forged, record("main", 2)]
    config.data.path = write(tmp_path / "bad.jsonl", rows)
    config.data.on_error = OnError.quarantine
    data = load_data(config, tokenizer, ALONE)
    assert instructions(tokenizer, data) == ["main 1", "main 2"]
    assert [row["place"].rpartition(":")[2] for row in data.quarantined] == list("12346")
    assert data.quarantined[4]["id"] == "forged"
    assert "<|im_start|>" in data.quarantined[4]["reason"]


def test_unknown_columns_are_told_with_those_that_are_known(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    config.data.path = write(tmp_path / "qa.jsonl", [{"frage": "Q", "antwort": "A"}])
    with pytest.raises(
        UserError, match=r"qa.jsonl:1: columns = frage, antwort: match no known schema; .*messages"
    ):
        load_data(config, tokenizer, ALONE)


@pytest.mark.parametrize(
    ("rows", "says"),
    [([], "holds no rows"), (["", " "], "holds no rows"), ([LONG], "data.max_length = 256: every")],
)
def test_a_source_without_a_usable_row_is_refused(
    tokenizer: Any, config: SFTConfig, tmp_path: Path, rows: list[Any], says: str
) -> None:
    config.data.path = write(tmp_path / "none.jsonl", rows)
    with pytest.raises(UserError, match=says):
        load_data(config, tokenizer, ALONE)


def test_a_source_of_bad_rows_alone_is_refused_even_with_quarantine(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    silent = {"instruction": "Sing.", "output": ""}
    config.data.path = write(tmp_path / "bad.jsonl", [*BAD, silent])
    config.data.on_error = OnError.quarantine
    with pytest.raises(UserError, match="none of its 5 rows can be used"):
        load_data(config, tokenizer, ALONE)


def test_real_rows_are_read(
    tokenizer: Any, config: SFTConfig, shared_data: Path, tmp_path: Path
) -> None:
    records = json.loads((shared_data / "alpaca" / "alpaca_5000.json").read_text())
    empty = [row for row in records if not row["output"]]
    config.data.path = write(tmp_path / "real.jsonl", [*records[:300], *empty])
    config.data.on_error = OnError.quarantine
    config.data.max_length = 1000
    data = load_data(config, tokenizer, ALONE)
    assert len(data) + len(data.dropped) == 300
    assert len(data.quarantined) == len(empty) > 0
    assert data.dropped
    assert data.lengths.max() <= 1000


def test_the_digest_tells_other_rows_and_other_tokens(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    path = tmp_path / "digest.jsonl"
    config.data.path = write(path, [record("a", number) for number in range(4)])
    first = load_data(config, tokenizer, ALONE)
    assert load_data(config, tokenizer, ALONE).digest() == first.digest()
    fewer, _ = split_heldout(first, 1, seed=0)
    write(path, [record("a", number) for number in (0, 1, 2, 4)])
    changed = load_data(config, tokenizer, ALONE)
    assert changed.lengths.tolist() == first.lengths.tolist()
    assert len({first.digest(), fewer.digest(), changed.digest()}) == 3
