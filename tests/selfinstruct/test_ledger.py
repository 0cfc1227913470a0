from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from selfinstruct.ledger import Ledger, Reply, Request

REQUEST = Request("model", "prompt", 1, 160, 0.6, 0.9, 7)
REPLY = Reply("écrit\n", cut=True, tokens=3)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"prompt": "prompt "},
        {"tasks": 2},
        {"max_tokens": 161},
        {"temperature": 0.7},
        {"top_p": 1.0},
        {"seed": 8},
    ],
)
def test_whatever_is_sent_is_in_the_key(change: dict[str, object]) -> None:
    assert dataclasses.replace(REQUEST, **change).key != REQUEST.key  # type: ignore[arg-type]
    assert dataclasses.replace(REQUEST).key == REQUEST.key


def test_replies_come_back_in_another_life(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    assert ledger.get(REQUEST) is None
    ledger.add([(REQUEST, REPLY)])
    assert ledger.get(REQUEST) == REPLY
    assert Ledger(path).get(REQUEST) == REPLY
    assert json.loads(path.read_text())["sent"] == dataclasses.asdict(REQUEST)


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_torn_last_line_is_asked_again(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "ledger.jsonl"
    second = dataclasses.replace(REQUEST, seed=8)
    Ledger(path).add([(REQUEST, REPLY)])
    whole = path.read_bytes()
    Ledger(path).add([(second, REPLY)])
    # -1 leaves the whole record without its line break: it parses, and yet is not safe.
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:kept])
    ledger = Ledger(path)
    assert ledger.get(REQUEST) == REPLY
    assert ledger.get(second) is None
    ledger.add([(second, REPLY)])
    assert Ledger(path).get(second) == REPLY
    assert path.read_bytes().startswith(whole)
