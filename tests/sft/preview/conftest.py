"""Runs of a few rows, tokenized byte by byte, of which previews are made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacos.configs.cluster import ClusterConfig
from pacos.configs.model import ModelConfig
from sft.config import SFTConfig
from sft.configs.batch import BatchConfig
from sft.configs.data import DataConfig
from sft.data.mixture import load_data, load_heldout
from sft.preview.rows import ALONE, RunRows
from tests.sft.byte_tokenizer import byte_tokenizer
from tests.sft.small_runs import SHAPE

Load = Callable[[SFTConfig], RunRows]


def row(*answers: Any) -> dict[str, Any]:
    """A conversation; an answer may be a turn of its own."""
    turns: list[Any] = []
    for number, answer in enumerate(answers):
        turns.append({"role": "user", "content": f"Question {number}?"})
        is_turn = isinstance(answer, dict)
        turns.append({"role": "assistant", **(answer if is_turn else {"content": answer})})
    return {"messages": turns}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    return str(path)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SFTConfig:
    """Twelve rows of different lengths, packed by four."""
    monkeypatch.setenv("PACOS_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path / "rows.jsonl", [row(f"{n} " * n, "Yes.") for n in range(1, 13)])
    return SFTConfig(
        model=ModelConfig(name="small", shape=SHAPE),
        data=DataConfig(path=path, max_length=512),
        batch=BatchConfig(tokens=1024),
        cluster=ClusterConfig(ranks_per_node=1),
    )


@pytest.fixture
def load(tokenizer: Any) -> Load:
    """The rows of a config, tokenized."""

    def of(config: SFTConfig) -> RunRows:
        data = load_data(config, tokenizer, ALONE)
        return RunRows(config, tokenizer, data, load_heldout(config, tokenizer, ALONE))

    return of
