from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.llm.ledger import Ledger, Spent
from pacos.llm.request import Reply, Request, Sampling
from tests.conftest import ROOT


def request(number: int) -> Request:
    prompt = ({"role": "user", "content": f"질문 {number}"},)
    return Request(endpoint="e", model="m", prompt=prompt, sampling=Sampling(max_tokens=9))


def reply(number: int, length: int = 1) -> Reply:
    return Reply(
        text=f"답 {number}\n" * length,
        finish="stop",
        prompt_tokens=3,
        completion_tokens=number,
        logprobs=({"a": -0.5}, {"b": -1.5}),
    )


def store(path: Path, numbers: range, usd: float | None = 0.5, length: int = 1) -> None:
    async def run() -> None:
        async with Ledger(path) as ledger:
            await asyncio.gather(
                *[ledger.store(request(n), reply(n, length), usd) for n in numbers]
            )

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.jsonl"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    store(path, range(100))
    opened = Ledger(path)
    yield opened
    opened.close()


def test_what_is_stored_is_there_in_the_next_life(ledger: Ledger) -> None:
    assert len(ledger) == 100
    assert [ledger.get(request(n)) for n in range(100)] == [reply(n) for n in range(100)]
    assert ledger.get(request(100)) is None
    assert request(5).key in ledger
    assert request(500).key not in ledger
    assert ledger.spent == Spent(300, sum(range(100)), 50.0)


def test_a_record_tells_what_was_sent_and_what_it_cost(path: Path) -> None:
    store(path, range(1), usd=None)
    (record,) = read_jsonl(path)
    assert record["key"] == request(0).key
    assert record["sent"]["prompt"] == [{"role": "user", "content": "질문 0"}]
    assert record["sent"]["sampling"]["max_tokens"] == 9
    assert (record["usd"], record["reply"]["text"]) == (None, "답 0\n")
    opened = Ledger(path)
    assert opened.spent.usd is None
    opened.close()


def test_a_stored_reply_can_be_got_at_once_and_is_on_the_disk(path: Path) -> None:
    async def run() -> None:
        async with Ledger(path) as ledger:
            for number in range(5):
                await ledger.store(request(number), reply(number), 0.0)
                assert ledger.get(request(number)) == reply(number)
                assert len(list(read_jsonl(path))) == number + 1

    asyncio.run(run())


def test_replies_longer_than_one_read(path: Path) -> None:
    store(path, range(3), length=20000)
    opened = Ledger(path)
    assert opened.get(request(1)) == reply(1, 20000)
    opened.close()


def test_many_replies_share_one_fsync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        calls.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    store(path, range(1000))
    assert len(calls) < 20


@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_torn_last_line_is_as_if_never_written(path: Path, cut: int) -> None:
    store(path, range(10))
    os.truncate(path, path.stat().st_size - cut)
    store(path, range(10, 12))
    opened = Ledger(path)
    known = [n for n in range(12) if opened.get(request(n)) is not None]
    assert known == [n for n in range(12) if n != 9]
    opened.close()


def test_one_process_at_a_time(path: Path) -> None:
    opened = Ledger(path)
    with pytest.raises(UserError, match="in use by another process"):
        Ledger(path)
    code = (
        "import sys; from pathlib import Path; from pacos.llm.ledger import Ledger; "
        "Ledger(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(path)]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "in use by another process" in refused.stderr
    opened.close()
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_another_file_is_not_taken_for_a_ledger(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"instruction": "x"}) + "\n")
    for _ in range(2):
        with pytest.raises(UserError, match=r"ledger\.jsonl:1: not a record of a ledger"):
            Ledger(path)


def test_a_full_disk_is_told_and_leaves_no_half_record(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with Ledger(path) as ledger:
            await ledger.store(request(0), reply(0))
            write = os.write

            def half(descriptor: int, data: bytes) -> int:
                if len(data) < 60:
                    raise OSError(28, "No space left on device")
                return write(descriptor, data[: len(data) // 2])

            with monkeypatch.context() as patch:
                patch.setattr(os, "write", half)
                with pytest.raises(OSError, match="No space"):
                    await ledger.store(request(1), reply(1))
            assert ledger.get(request(1)) is None
            await ledger.store(request(2), reply(2))

    asyncio.run(run())
    assert [record["key"] for record in read_jsonl(path)] == [request(0).key, request(2).key]


def test_a_caller_that_is_cancelled_loses_nothing(path: Path) -> None:
    async def run() -> None:
        async with Ledger(path) as ledger:
            storing = asyncio.create_task(ledger.store(request(0), reply(0)))
            await asyncio.sleep(0)
            storing.cancel()

    asyncio.run(run())
    assert len(list(read_jsonl(path))) == 1
