"""From data on disk to the rows of an epoch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pacos.data.source_config import Tree
from pacos.distributed import World
from pacos.errors import UserError
from pacos.prompts.encoder import encode
from pacos.prompts.formats import PromptFormat
from pacos.schemas import Row
from sft.config import SFTConfig
from sft.configs.data import OnError, TooLong
from sft.data import token_cache
from sft.data.mixture import load_data
from sft.data.split import split_heldout
from tests.sft.data.small_data import ALONE, instructions, record, write

LONG = {"instruction": "Count.", "output": "one two " * 100, "id": "long"}


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
    assert data.inputs("data") == {"data": Path(config.data.path)}


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
    with pytest.raises(UserError, match=r"no row can be used \(5 rows\); .*bad.jsonl:1: columns"):
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


def test_sources_have_meanings_and_caches_of_their_own(
    tokenizer: Any, config: SFTConfig, tmp_path: Path, cache: Path
) -> None:
    asked = write(tmp_path / "qa.jsonl", [{"frage": "Q", "antwort": f"A{n}"} for n in range(3)])
    columns = {"frage": "question", "antwort": "answer"}
    config.data.mix = {asked: {"weight": 2, "columns": columns}}
    data = load_data(config, tokenizer, ALONE)
    assert len(data) == 10 + 2 * 3
    assert instructions(tokenizer, data)[-1] == "Q"
    config.data.mix = {asked: {"columns": {**columns, "other": "id"}}}
    load_data(config, tokenizer, ALONE)
    assert len([folder for folder in cache.iterdir() if folder.is_dir()]) == 3


def test_messages_of_trees_become_conversations(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    def message(number: int, parent: int | None, role: str, text: str) -> dict[str, Any]:
        above = None if parent is None else str(parent)
        return {"message_id": str(number), "parent_id": above, "text": text, "role": role}

    messages = [
        message(1, None, "prompter", "Hello"),
        message(2, 1, "assistant", "Hi"),
        message(3, 1, "assistant", "Ho"),
        message(4, None, "prompter", "Bye"),
        message(5, 4, "assistant", "See you"),
    ]
    config.data.path = write(tmp_path / "trees.jsonl", ["not JSON", *messages])
    config.data.on_error = OnError.quarantine
    assert len(load_data(config, tokenizer, ALONE)) == 2
    config.data.tree = Tree.all
    data = load_data(config, tokenizer, ALONE)
    assert instructions(tokenizer, data) == ["Hello", "Hello", "Bye"]
    assert data.place(2).endswith("trees.jsonl:6")
    assert [row["place"].rpartition(":")[2] for row in data.quarantined] == ["1"]


def test_what_is_not_read_is_named_at_every_start(
    tokenizer: Any, config: SFTConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{**record("main", n), "category": "x"} for n in range(4)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"version": 1, "data": rows}))
    config.data.path = str(path)
    for _ in range(2):
        caplog.clear()
        load_data(config, tokenizer, ALONE)
        (keys, columns) = (
            entry.message for entry in caplog.records if entry.levelname == "WARNING"
        )
        assert keys.endswith("rows.json: its rows are the list data; not read: version")
        assert columns.startswith(f"{path}: not read: category (4 rows)")
    caplog.clear()
    config.data.ignore = ["category"]
    load_data(config, tokenizer, World(rank=1, size=2, local_rank=0))
    assert not [entry for entry in caplog.records if entry.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (TooLong.drop, "({share}% of the tokens) are left out, because"),
        (
            TooLong.cut_turns,
            "lose their last exchanges or are left out ({share}% of the tokens), because",
        ),
        (TooLong.truncate, "are truncated ({share}% of the tokens), because"),
    ],
)
def test_the_share_of_long_rows_is_named_at_every_start(
    tokenizer: Any,
    config: SFTConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    policy: TooLong,
    says: str,
) -> None:
    rows = [record("main", 1), LONG, record("main", 2), LONG, record("main", 3)]
    config.data.mix = {write(tmp_path / "long.jsonl", rows): 1.0}
    config.data.too_long = policy
    config.data.max_length = 10_000
    fits, long = load_data(config, tokenizer, ALONE).parts
    assert not caplog.records
    config.data.max_length = 256
    for _ in range(2):
        caplog.clear()
        data = load_data(config, tokenizer, ALONE)
        (warning,) = (entry.message for entry in caplog.records if entry.levelname == "WARNING")
        share = round(100 * (1 - len(data.parts[1].ids) / len(long.ids)))
        assert 0 < share < 100
        assert warning == (
            f"{long.source.path}: 2 of 5 rows {says.format(share=share)} they are longer than "
            "data.max_length = 256: raise it, or choose another data.too_long (drop, cut_turns, "
            "truncate, error)"
        )
    assert len(data.parts[0].ids) == len(fits.ids)


def test_a_long_row_may_end_the_run(tokenizer: Any, config: SFTConfig, tmp_path: Path) -> None:
    config.data.path = write(tmp_path / "long.jsonl", [record("main", 1), LONG])
    config.data.too_long = TooLong.error
    config.data.on_error = OnError.quarantine
    with pytest.raises(
        UserError, match=r"long.jsonl:2: \d+ tokens, more than data.max_length = 256"
    ):
        load_data(config, tokenizer, ALONE)


def test_shards_and_tables_are_trained_on_with_places(
    tokenizer: Any, config: SFTConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(2):
        content = "".join(f"{shard}.{row},{row}\n" for row in range(3))
        (folder / f"part-{shard}.csv").write_text("instruction,output\n" + content)
    config.data.path = f"{folder}:train[1:]"
    data = load_data(config, tokenizer, ALONE)
    assert instructions(tokenizer, data) == ["0.1", "0.2", "1.0", "1.1", "1.2"]
    assert data.place(4) == f"{folder}/part-1.csv, row 3"
    assert list(data.inputs("data")) == ["data", "data 2"]
