"""The data set on disk."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import pytest

from pacos.configs.compose import compose_checked
from pacos.contamination.evidence import Overlap, OverlapKind
from pacos.files import read_json, read_jsonl
from pacos.schemas import Row
from selfinstruct.candidates.candidate import Candidate
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.dataset.export import conversation, export, seed_rows
from selfinstruct.pool.novelty import Neighbour
from selfinstruct.pool.pool import Pool
from selfinstruct.screening.verdict import Place, Rejection, Verdict
from selfinstruct.seeds.reader import read_seeds

LINEAGE = {"lang": "en", "seeds": ["seed_001"], "teacher": "scripted", "terms": "MIT"}


@functools.cache
def compose(*overrides: str) -> SelfInstructConfig:
    return compose_checked(SelfInstructConfig, SCHEMAS, ["seeds.heldout=25", *overrides])


def write(folder: Path, config: SelfInstructConfig) -> None:
    """Export three generated rows and three rejected candidates."""
    more = LINEAGE | {"is_classification": True, "nearest": ["seed_001", 0.6], "declined": "drugs"}
    rows = [
        Row("g1", "Name a tide.", "", "Neap.", "generated", LINEAGE),
        Row("g2", "Add the two numbers.", "2 | 3\n\n4", "한 줄\n둘", "generated", more),
        Row("g3", "Half a sign: \ud83d", "", "Yes.", "generated", LINEAGE),
    ]
    verdicts = [
        Verdict("too similar", nearest=Neighbour("seed_002", 0.75)),
        Verdict("gives away", overlap=Overlap("smoke", "7", OverlapKind.whole, 1.0, "what is it")),
        Verdict("garbled text"),
    ]
    rejections = [
        Rejection(
            Place(number, 0),
            f"key{number}",
            Candidate(f"Rejected {number} \udc00", "", "Out."),
            verdict,
        )
        for number, verdict in enumerate(verdicts)
    ]
    export(
        folder, config, Pool(read_seeds(config), config), rows, rejections, requests=4, compute=[]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    write(path, compose())
    return path


def test_the_three_forms_hold_the_same_rows(folder: Path) -> None:
    from pyarrow.parquet import read_table

    rows = [Row.from_json(record, "data") for record in read_jsonl(folder / "data.jsonl")]
    assert len(rows) == 153
    assert [row.id for row in rows[150:]] == ["g1", "g2", "g3"]
    talks = list(read_jsonl(folder / "data_messages.jsonl"))
    assert talks == [conversation(row) for row in rows]
    table = read_table(folder / "train.parquet").to_pylist()
    again = [record | {"lineage": json.loads(record["lineage"])} for record in table]
    assert again == [row.to_json() for row in rows]


def test_messages_join_instruction_and_input(folder: Path) -> None:
    talk = list(read_jsonl(folder / "data_messages.jsonl"))[151]
    assert talk["messages"] == [
        {"role": "user", "content": "Add the two numbers.\n\n2 | 3\n\n4"},
        {"role": "assistant", "content": "한 줄\n둘"},
    ]
    assert talk["lineage"]["terms"] == "MIT"


def test_datasets_reads_the_folder(folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    found = load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in found.items()} == {"train": 153, "heldout": 25}
    assert found["train"][151]["output"] == "한 줄\n둘"
    assert json.loads(found["heldout"][0]["lineage"])["terms"] == "apache-2.0"


def test_held_out_seeds_are_apart(folder: Path) -> None:
    held = {record["id"] for record in read_jsonl(folder / "heldout.jsonl")}
    assert len(held) == 25
    assert not held & {record["id"] for record in read_jsonl(folder / "data.jsonl")}


def test_what_is_no_text_can_be_written(folder: Path) -> None:
    """A generator's JSON can hold half of a surrogate pair."""
    rows = list(read_jsonl(folder / "data.jsonl"))
    assert rows[-1]["instruction"] == "Half a sign: ?"
    assert next(read_jsonl(folder / "rejected.jsonl"))["instruction"] == "Rejected 0 ?"


def test_rejected_candidates_say_why(folder: Path) -> None:
    similar, leak, garbled = read_jsonl(folder / "rejected.jsonl")
    assert similar["reason"] == "too similar"
    assert similar["nearest"] == {"id": "seed_002", "score": 0.75}
    assert leak["reason"] == "gives away: smoke"
    assert leak["overlap"]["item"] == "7"
    assert leak["overlap"]["kind"] == "whole"
    assert garbled["nearest"] is None
    assert garbled["overlap"] is None


def test_figures_agree_with_the_rows(folder: Path) -> None:
    measures = read_json(folder / "measures.json")
    assert [measures[key] for key in ("seeds", "generated", "heldout")] == [150, 3, 25]
    assert (measures["requests"], measures["candidates"]) == (4, 6)
    assert measures["rejected"] == {
        "garbled text": {"": 1},
        "gives away": {"smoke": 1},
        "too similar": {"": 1},
    }
    assert measures["terms"] == {"apache-2.0": 150, "MIT": 3}
    assert measures["declined"] == {"drugs": 1}
    assert measures["classification"]["unknown"] == 2
    assert sum(measures["classification"].values()) == 153
    assert read_json(folder / "requirements.json")[0]["met"] is False


def test_data_comes_last_and_all_comes_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[str] = []
    rename = os.replace

    def note(source: Path, target: Path) -> None:
        replaced.append(target.name)
        rename(source, target)

    monkeypatch.setattr(os, "replace", note)
    write(tmp_path, compose("seeds.heldout=0"))
    assert replaced[-1] == "data.jsonl"
    assert sorted(replaced) == sorted(path.name for path in tmp_path.iterdir())
    assert "heldout.parquet" not in replaced, "datasets makes no split of nothing"


def test_the_same_rows_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, compose())
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_seeds_keep_what_is_known_of_them() -> None:
    config = compose("lang=en_ko", "seeds.heldout=0")
    seeds = read_seeds(config)
    for lang, tasks in seeds.items():
        rows = seed_rows(tasks, config)
        assert {row.lineage["lang"] for row in rows} == {lang}
        flags = [row.lineage["is_classification"] for row in rows]
        assert flags == [task.is_classification for task in tasks]
