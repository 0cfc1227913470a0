"""Many requests to a service at once, until somebody asks the run to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

from pacos.run.stop import Stopped, StopRequest

STOP_POLL_SECONDS = 0.5

T = TypeVar("T")


async def unless_stopped(work: Coroutine[Any, Any, T], stop: StopRequest, doing: str) -> T:
    """The result of some work.

    Args:
        work: that asks a service.
        stop: looked at now and then.
        doing: what is done, for the message.

    Raises:
        Stopped: it was asked for, and the work was cut off.
    """
    task = asyncio.create_task(work)
    while not task.done():
        await asyncio.wait({task}, timeout=STOP_POLL_SECONDS)
        if (reason := stop.reason()) is not None and not task.done():
            task.cancel()
            raise Stopped(f"{reason} while {doing}; every reply is kept")
    return task.result()


async def all_of(asked: Sequence[Awaitable[T]]) -> list[T]:
    """All results; an exception is raised when the others have ended, too."""
    found = await asyncio.gather(*asked, return_exceptions=True)
    results = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        results.append(one)
    return results
