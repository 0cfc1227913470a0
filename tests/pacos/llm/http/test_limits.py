from __future__ import annotations

import asyncio

import pytest

from pacos.errors import UserError
from pacos.llm.http.limits import Bucket, Gate


def test_a_bucket_spaces_requests() -> None:
    bucket = Bucket(per_second=10)
    assert [bucket.reserve(1, now=100.0) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.2])
    assert bucket.reserve(5, now=100.0) == pytest.approx(0.3)
    assert bucket.reserve(1, now=100.0) == pytest.approx(0.8)


def test_no_second_sees_more_than_the_limit_after_a_rest() -> None:
    bucket = Bucket(per_second=10)
    bucket.reserve(1, now=0.0)
    starts = [1000.0 + bucket.reserve(1, now=1000.0) for _ in range(50)]
    for start in starts:
        assert sum(start <= other < start + 0.999 for other in starts) <= 10


def test_what_was_not_needed_is_given_back() -> None:
    bucket = Bucket(per_second=100)
    bucket.reserve(1000, now=0.0)
    bucket.give_back(900)
    assert bucket.reserve(1, now=0.0) == pytest.approx(1.0)


def test_a_gate_lets_in_as_many_as_it_may_in_order() -> None:
    async def run() -> list[int]:
        gate, entered = Gate(2), []

        async def one(number: int) -> None:
            await gate.enter()
            entered.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(4)]
        await asyncio.sleep(0)
        assert entered == [0, 1]
        gate.leave()
        await asyncio.sleep(0.01)
        assert entered == [0, 1, 2]
        gate.leave()
        await asyncio.gather(*tasks)
        return entered

    assert asyncio.run(run()) == [0, 1, 2, 3]


def test_a_cancelled_turn_is_passed_on() -> None:
    async def run() -> None:
        gate = Gate(1)
        await gate.enter()
        given_up = asyncio.create_task(gate.enter())
        cancelled = asyncio.create_task(gate.enter())
        third = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        given_up.cancel()
        gate.leave()  # the turn goes to `cancelled`, which is gone before it takes it
        cancelled.cancel()
        await asyncio.wait_for(third, 5)

    asyncio.run(run())


def test_a_gate_narrows_once_for_what_was_sent_before_and_widens_again() -> None:
    gate = Gate(100)
    assert gate.overloaded(sent_at=1.0, now=2.0)
    assert not gate.overloaded(sent_at=1.5, now=3.0)
    assert gate.limit == 50
    assert gate.overloaded(sent_at=2.5, now=4.0)
    assert gate.limit == 25
    for _ in range(1500):
        gate.answered()
    assert gate.limit == 100
    for now in range(10, 30):
        gate.overloaded(sent_at=now, now=now)
    assert gate.limit == 1


def test_a_gate_that_is_shut_turns_everybody_away() -> None:
    async def run() -> None:
        gate = Gate(1)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        gate.shut(UserError("gone"))
        for entering in (waiting, gate.enter()):
            with pytest.raises(UserError, match="gone"):
                await entering

    asyncio.run(run())
