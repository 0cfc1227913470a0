from __future__ import annotations

import asyncio
import random

import pytest

from pacos.llm.budget import Budget, BudgetReached
from pacos.llm.ledger import Spent


def test_what_does_not_fit_is_refused_with_the_reason() -> None:
    async def run() -> None:
        budget = Budget(usd=1.0, tokens=1000)
        budget.settle(await budget.reserve(400, 0.5), 300, 0.4)
        with pytest.raises(BudgetReached, match=r"budget_usd = 1.*\$0\.4000 .*may take \$0\.7000"):
            await budget.reserve(100, 0.7)
        with pytest.raises(BudgetReached, match="300 tokens spent"):
            await budget.reserve(701, 0.0)
        budget.settle(await budget.reserve(700, 0.6), 700, 0.6)

    asyncio.run(run())


def test_sums_that_only_rounding_keeps_apart_are_equal() -> None:
    async def run() -> None:
        budget = Budget(usd=0.3)
        for _ in range(3):
            await budget.reserve(0, 0.1)

    asyncio.run(run())


def test_earlier_lives_count() -> None:
    async def run() -> None:
        budget = Budget(usd=1.0, spent=Spent(10, 10, 0.9))
        with pytest.raises(BudgetReached):
            await budget.reserve(1, 0.2)

    asyncio.run(run())


def test_a_request_waits_while_others_may_leave_enough() -> None:
    async def run() -> None:
        budget = Budget(tokens=100)
        first = await budget.reserve(80, 0.0)
        second = asyncio.create_task(budget.reserve(80, 0.0))
        await asyncio.sleep(0.01)
        assert not second.done()
        budget.settle(first, 20, 0.0)
        budget.settle(await second, 20, 0.0)
        waiting = [asyncio.create_task(budget.reserve(60, 0.0)) for _ in range(3)]
        budget.settle(await waiting[0], 60, 0.0)
        for task in waiting[1:]:
            with pytest.raises(BudgetReached):
                await task

    asyncio.run(run())


def test_one_that_is_cancelled_while_it_waits_takes_nothing() -> None:
    async def run() -> None:
        budget = Budget(tokens=100)
        first = await budget.reserve(100, 0.0)
        cancelled = asyncio.create_task(budget.reserve(100, 0.0))
        last = asyncio.create_task(budget.reserve(100, 0.0))
        await asyncio.sleep(0)
        budget.settle(first, 0, 0.0)
        cancelled.cancel()
        await asyncio.wait_for(last, 5)

    asyncio.run(run())


def test_it_is_never_exceeded_and_used_to_the_last_request_that_fits() -> None:
    draw = random.Random(0)

    async def run() -> int:
        budget, spent = Budget(tokens=10_000), 0

        async def one() -> None:
            nonlocal spent
            worst = draw.randint(50, 100)
            reservation = await budget.reserve(worst, 0.0)
            await asyncio.sleep(draw.random() / 1000)
            used = draw.randint(1, worst)
            spent += used
            budget.settle(reservation, used, 0.0)

        await asyncio.gather(*[one() for _ in range(1000)], return_exceptions=True)
        return spent

    assert 9_900 < asyncio.run(run()) <= 10_000
