from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.llm.batch import batching
from pacos.llm.batch.client import BatchClient
from pacos.llm.batch.journal import Journal
from pacos.llm.config import EndpointConfig, Mode
from pacos.llm.http.failures import EndpointDown
from pacos.llm.ledger import Ledger
from pacos.llm.prices import Price
from pacos.llm.request import Reply
from pacos.llm.service import Service, open_service
from tests.pacos.llm.asking import chat, endpoint
from tests.pacos.llm.scripted_server import Rule, ScriptedServer

Outcomes = list[Reply | BaseException]


async def live(config: EndpointConfig, folder: Path, texts: Sequence[str]) -> Outcomes:
    async with (
        Ledger(folder / "ledger.jsonl") as ledger,
        BatchClient(config, folder / "batches.jsonl", ledger, quiet_s=0.05, poll_s=0.02) as batch,
    ):
        service = Service(batch, ledger, price=Price(1.0, 1.0))
        asked = [service.ask(chat(config, text)) for text in texts]
        return await asyncio.gather(*asked, return_exceptions=True)


def life(url: str, folder: Path, texts: Sequence[str], **options: Any) -> Outcomes:
    return asyncio.run(live(endpoint(url, mode=Mode.batch, **options), folder, texts))


def questions(count: int) -> list[str]:
    return [f"question {number}" for number in range(count)]


def texts(found: Outcomes) -> list[str]:
    return [reply.text if isinstance(reply, Reply) else repr(reply) for reply in found]


def answers(count: int) -> list[str]:
    return [f"reply to question {number}" for number in range(count)]


def test_all_that_wait_go_into_one_batch(tmp_path: Path) -> None:
    with ScriptedServer(looks=3) as server:
        assert texts(life(server.url, tmp_path, questions(30))) == answers(30)
        (created,) = server.batches.created.values()
        assert created["endpoint"] == "/v1/chat/completions"
        assert created["completion_window"] == "24h"
        assert texts(life(server.url, tmp_path, questions(30))) == answers(30)
        assert set(server.batches.bought.values()) == {1}
    keys = {chat(endpoint(server.url), text).key for text in questions(30)}
    assert set(server.batches.bought) == keys


def test_the_service_opens_it_with_its_price(tmp_path: Path) -> None:
    async def run(config: EndpointConfig) -> float | None:
        async with open_service(config, tmp_path) as service:
            await service.ask(chat(config, "hello"))
            return service.counts.usd

    with ScriptedServer() as server:
        config = EndpointConfig(url=server.url, model="gpt-4o-mini", mode=Mode.batch)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BatchClient.__init__, "__kwdefaults__", {"quiet_s": 0.05, "poll_s": 0.05})
            usd = asyncio.run(run(config))
    assert usd == pytest.approx((7 * 0.15 + 5 * 0.60) / 2 / 1e6)


def test_a_batch_is_full_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MOST_REQUESTS", 10)
    with ScriptedServer() as server:
        assert texts(life(server.url, tmp_path / "a", questions(25))) == answers(25)
        sizes = [created["request_counts"]["total"] for created in server.batches.created.values()]
        assert sizes == [10, 10, 5]
    monkeypatch.setattr(batching, "MOST_BYTES", 1000)
    with ScriptedServer() as server:
        assert texts(life(server.url, tmp_path / "b", questions(25))) == answers(25)
        uploaded = [
            server.batches.files[b["input_file_id"]] for b in server.batches.created.values()
        ]
        assert len(uploaded) > 3
        assert all(len(content) <= 1000 for content in uploaded)


def test_an_item_that_failed_or_expired_is_asked_again(tmp_path: Path) -> None:
    rules = [Rule("500", match="question 3", times=1), Rule("expire", match="question 5", times=2)]
    with ScriptedServer(rules) as server:
        assert texts(life(server.url, tmp_path, questions(10))) == answers(10)
        sizes = [created["request_counts"]["total"] for created in server.batches.created.values()]
        assert sizes == [10, 2, 1]


def test_an_item_that_is_itself_refused_is_told(tmp_path: Path) -> None:
    rules = [Rule("filter", match="bad"), Rule("500", match="worse")]
    with ScriptedServer(rules) as server:
        for _ in range(2):
            bad, worse, good = life(server.url, tmp_path, ["bad", "worse", "good"])
            assert isinstance(bad, Reply)
            assert isinstance(worse, Reply)
            assert isinstance(good, Reply)
            assert (bad.finish, worse.finish, good.finish) == ("error", "error", "stop")
            assert worse.error == "3 batches: 500: internal error"
            assert server.seen == {"bad": 1, "worse": 3, "good": 1}


def test_batches_that_answer_nothing(tmp_path: Path) -> None:
    with ScriptedServer([Rule("500")]) as server:
        found = life(server.url, tmp_path, questions(3))
        assert all(isinstance(error, EndpointDown) for error in found)
        assert not list(read_jsonl(tmp_path / "ledger.jsonl"))
        server.rules.clear()
        assert texts(life(server.url, tmp_path, questions(3))) == answers(3)


@pytest.mark.parametrize("what", ["400", "401", "temperature"])
def test_what_every_item_would_get_ends_the_run(tmp_path: Path, what: str) -> None:
    with ScriptedServer([Rule(what)]) as server:
        found = life(server.url, tmp_path, questions(3))
        assert len(server.batches.created) == 1
    assert all(type(error) is UserError for error in found), found
    assert not list(read_jsonl(tmp_path / "ledger.jsonl"))


def test_a_service_without_batches(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        (error,) = life(server.url + "/nothing", tmp_path, ["hello"])
    assert "endpoint.mode=live" in str(error)


def test_dialects_are_learnt(tmp_path: Path) -> None:
    with ScriptedServer([Rule("no_max_tokens")]) as server:
        assert texts(life(server.url, tmp_path, questions(4))) == answers(4)
        assert len(server.batches.created) == 2


def test_a_batch_that_is_refused_is_told_and_not_found_again(tmp_path: Path) -> None:
    with ScriptedServer(refuse=("line 1 has no model",)) as server:
        found = life(server.url, tmp_path, questions(3))
        assert all(type(error) is UserError for error in found)
        assert "line 1 has no model" in str(found[0])
        assert texts(life(server.url, tmp_path, questions(3))) == answers(3)


def test_a_batch_for_which_the_account_has_no_room_is_divided(tmp_path: Path) -> None:
    with ScriptedServer(room=8, looks=3) as server:
        assert texts(life(server.url, tmp_path, questions(30))) == answers(30)
        assert set(server.batches.bought.values()) == {1}
        assert len(server.batches.bought) == 30


def test_a_single_request_for_which_there_is_no_room(tmp_path: Path) -> None:
    with ScriptedServer(room=0) as server:
        found = life(server.url, tmp_path, questions(2))
    assert all(type(error) is UserError for error in found)
    assert "token limit" in str(found[0])


def test_a_creation_whose_answer_is_lost_is_not_repeated(tmp_path: Path) -> None:
    with ScriptedServer(lost_answers=1) as server:
        assert texts(life(server.url, tmp_path, questions(3))) == answers(3)
        assert len(server.batches.created) == 1


def broken_off(url: str, folder: Path, texts: Sequence[str]) -> None:
    """A life that ends while its batch is under way."""

    async def run() -> None:
        living = asyncio.create_task(live(endpoint(url, mode=Mode.batch), folder, texts))
        async with asyncio.timeout(30):
            while len(list(read_jsonl(folder / "batches.jsonl"))) < 2:
                await asyncio.sleep(0.01)
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living

    asyncio.run(run())


def test_the_next_life_finds_a_batch_that_goes_on(tmp_path: Path) -> None:
    with ScriptedServer(looks=10**9) as server:
        broken_off(server.url, tmp_path, questions(6))
        assert len(server.batches.created) == 1
        server.batches.looks = 0
        assert texts(life(server.url, tmp_path, [*questions(6), "new"])[:6]) == answers(6)
        assert set(server.batches.bought.values()) == {1}


def test_the_next_life_finds_a_batch_whose_id_was_never_heard(tmp_path: Path) -> None:
    with ScriptedServer(looks=10**9) as server:
        # Others of the account, so that it has to be looked for on a later page.
        broken_off(server.url, tmp_path / "other", ["older"])
        broken_off(server.url, tmp_path, questions(6))
        for number in range(3):
            broken_off(server.url, tmp_path / f"another {number}", ["newer"])
        journal = tmp_path / "batches.jsonl"
        planned = journal.read_text().splitlines(keepends=True)[0]
        journal.write_text(planned)
        server.batches.looks = 0
        assert texts(life(server.url, tmp_path, questions(6))) == answers(6)
        key = chat(endpoint(server.url), "question 0").key
        assert server.batches.bought[key] == 1


def test_a_batch_that_was_planned_and_never_created_is_bought_once(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        keys = [chat(endpoint(server.url), text).key for text in questions(3)]
        journal = Journal(tmp_path / "batches.jsonl", ())
        journal.plan("never", keys)
        assert texts(life(server.url, tmp_path, questions(3))) == answers(3)
        assert set(server.batches.bought.values()) == {1}


def test_replies_that_were_not_stored_are_fetched_again(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        life(server.url, tmp_path, questions(4))
        ledger = tmp_path / "ledger.jsonl"
        ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:2]))
        assert texts(life(server.url, tmp_path, questions(4))) == answers(4)
        assert set(server.batches.bought.values()) == {1}
