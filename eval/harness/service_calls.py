"""Many requests to a service at once, until the run is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

from pacos.run.stop import StopCheck, Stopped

STOP_POLL_SECONDS = 0.5

T = TypeVar("T")


async def await_or_stop(work: Coroutine[Any, Any, T], stop: StopCheck, doing: str) -> T:
    """Return the result of work that calls a service.

    Args:
        work: the work.
        stop: polled every STOP_POLL_SECONDS.
        doing: the work in words, for the message.

    Raises:
        Stopped: the run was asked to stop and the work is cancelled.
    """
    task = asyncio.create_task(work)
    while not task.done():
        await asyncio.wait({task}, timeout=STOP_POLL_SECONDS)
        if (reason := stop.reason()) is not None and not task.done():
            task.cancel()
            raise Stopped(f"{reason} while {doing}; every reply is kept")
    return task.result()


async def gather_all(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Return all results. Raise the first exception once every call has ended.

    asyncio.gather raises at once and leaves the other calls running: their replies would be paid
    for and reach the ledger or not, as it happens.
    """
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    results = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results
