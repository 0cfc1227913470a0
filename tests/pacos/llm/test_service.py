from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pacos.errors import UserError
from pacos.files import read_jsonl
from pacos.llm.budget import BudgetReached
from pacos.llm.config import EndpointConfig, Mode
from pacos.llm.http.failures import EndpointDown
from pacos.llm.request import Reply
from pacos.llm.service import Counts, open_service
from tests.pacos.llm.asking import chat, endpoint
from tests.pacos.llm.scripted_server import Rule, ScriptedServer

Outcomes = list[Reply | BaseException]


def life(config: EndpointConfig, folder: Path, texts: Sequence[str]) -> tuple[Outcomes, Counts]:
    """Outcomes and counts of one life that asks everything at once."""

    async def run() -> tuple[Outcomes, Counts]:
        async with open_service(config, folder) as service:
            asked = [service.ask(chat(config, text)) for text in texts]
            return await asyncio.gather(*asked, return_exceptions=True), service.counts

    return asyncio.run(run())


def questions(count: int) -> list[str]:
    return [f"question {number}" for number in range(count)]


def priced(url: str, **options: Any) -> EndpointConfig:
    """7 tokens of prompt and 5 of reply then cost 17 dollars."""
    return endpoint(url, prompt_price=1e6, completion_price=2e6, **options)


def test_nothing_is_bought_twice(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        first, counts = life(priced(server.url), tmp_path, questions(20))
        assert counts == Counts(20, 0, 0, 140, 100, 340.0)
        again, counts = life(priced(server.url), tmp_path, questions(25))
        assert counts == Counts(5, 20, 0, 35, 25, 85.0)
        assert set(server.seen.values()) == {1}
    assert again[:20] == first
    assert sum(record["usd"] for record in read_jsonl(tmp_path / "ledger.jsonl")) == 425.0


def test_equal_requests_at_the_same_time_are_asked_once(tmp_path: Path) -> None:
    with ScriptedServer([Rule("slow", seconds=0.05)]) as server:
        found, counts = life(priced(server.url), tmp_path, ["same"] * 10)
        assert server.seen == {"same": 1}
        assert counts.asked == 1
    assert len({repr(reply) for reply in found}) == 1


def test_a_price_that_is_not_known_is_not_zero(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        _, counts = life(endpoint(server.url), tmp_path, ["hello"])
        assert counts.usd is None
        (record,) = read_jsonl(tmp_path / "ledger.jsonl")
        assert record["usd"] is None
        free = {"prompt_price": 0.0, "completion_price": 0.0}
        _, counts = life(endpoint(server.url, **free), tmp_path, ["hello", "again"])
        assert counts.usd == 0.0


def test_a_request_that_cannot_be_answered_is_stored_and_never_asked_again(tmp_path: Path) -> None:
    with ScriptedServer([Rule("filter", match="bad")]) as server:
        for asked, from_ledger in ((2, 0), (0, 2)):
            (bad, _), counts = life(endpoint(server.url), tmp_path, ["bad", "good"])
            assert isinstance(bad, Reply)
            assert "filtered" in (bad.error or "")
            assert (counts.asked, counts.from_ledger, counts.failed) == (asked, from_ledger, 1)
        assert server.seen == {"bad": 1, "good": 1}


def test_when_the_service_is_down_nothing_is_stored_and_the_next_life_goes_on(
    tmp_path: Path,
) -> None:
    with ScriptedServer([Rule("503", match="question 1")]) as server:
        server.rules.append(Rule("503", match="Hi"))
        config = endpoint(server.url, concurrency=1, retries=0)
        found, _ = life(config, tmp_path, questions(10))
        stored = len(list(read_jsonl(tmp_path / "ledger.jsonl")))
        assert stored == sum(isinstance(reply, Reply) for reply in found) < 10
        assert any(isinstance(error, EndpointDown) for error in found)
        server.rules.clear()
        found, counts = life(config, tmp_path, questions(10))
        assert all(isinstance(reply, Reply) for reply in found)
        assert (counts.from_ledger, counts.asked) == (stored, 10 - stored)


def test_a_budget_stops_a_run_that_can_go_on(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        # At worst a request costs 12 tokens of prompt and 100 of reply, 212 dollars; in fact 17.
        config = priced(server.url, budget_usd=500.0)
        found, counts = life(config, tmp_path, questions(40))
        answered = sum(isinstance(reply, Reply) for reply in found)
        refused = [error for error in found if isinstance(error, BudgetReached)]
        assert answered == sum(server.seen.values()) == 17  # 16 · 17 + 212 <= 500 < 17 · 17 + 212
        assert len(refused) == 23
        assert counts.usd == 17 * 17.0
        assert "raise it: every reply is kept" in str(refused[0])
        found, counts = life(config, tmp_path, questions(40))
        assert counts.asked == 0
        found, counts = life(priced(server.url, budget_usd=5000.0), tmp_path, questions(40))
        assert (counts.asked, counts.from_ledger) == (23, 17)
        assert set(server.seen.values()) == {1}


def test_replies_of_unknown_price_count_at_the_price_of_now(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        life(endpoint(server.url), tmp_path, questions(20))
        found, _ = life(priced(server.url, budget_usd=500.0), tmp_path, ["one more"])
        assert isinstance(found[0], BudgetReached)


def test_a_replay_asks_nobody(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        url = server.url
        first, _ = life(endpoint(url), tmp_path, questions(5))
    replay = endpoint(url, mode=Mode.replay, api_key_env="NO_SUCH_KEY")
    again, counts = life(replay, tmp_path, [*questions(5), "new"])
    assert again[:5] == first
    assert counts.from_ledger == 5
    assert type(again[5]) is UserError
    assert "ledger.jsonl has no reply to request" in str(again[5])


def test_what_is_under_way_at_the_end_is_stored_and_the_rest_is_not_sent(tmp_path: Path) -> None:
    async def run(config: EndpointConfig) -> None:
        async with open_service(config, tmp_path) as service, asyncio.TaskGroup() as group:
            for text in questions(10):
                group.create_task(service.ask(chat(config, text)))
            await asyncio.sleep(0.2)
            raise KeyError("the stage fails")

    with ScriptedServer([Rule("slow", seconds=0.5)]) as server:
        config = endpoint(server.url, concurrency=3)
        with pytest.raises(BaseExceptionGroup):
            asyncio.run(run(config))
        assert sum(server.seen.values()) == 3
        assert len(list(read_jsonl(tmp_path / "ledger.jsonl"))) == 3
        server.rules.clear()
        life(config, tmp_path, questions(10))
        assert set(server.seen.values()) == {1}
