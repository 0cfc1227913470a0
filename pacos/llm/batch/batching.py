"""Requests that wait for a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pacos.errors import UserError
from pacos.llm.http.faults import fresh

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""Limits of a batch and of its file (OpenAI's; Azure takes more requests)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that is to go into the next batch."""

    key: str
    line: bytes
    """Its line of the batch's file."""
    joined: asyncio.Future[None]
    """Done when it is in a batch."""


class Gathering:
    """Hands requests on in groups: when no new one has come for a while, or at the limits.

    Args:
        quiet_s: seconds without a new request after which those that wait are handed on.
        hand_on: takes the keys and the lines of a group, before any of its requests goes on.
    """

    def __init__(self, quiet_s: float, hand_on: Callable[[list[str], bytes], None]) -> None:
        self.most_requests = MOST_REQUESTS
        self._quiet_s = quiet_s
        self._hand_on = hand_on
        self._waiting: list[Waiting] = []
        self._bytes = 0
        self._joined_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def join(self, key: str, line: bytes) -> None:
        """Wait until the request has been handed on.

        Raises:
            UserError: that which the gathering was closed with.
        """
        loop = asyncio.get_running_loop()
        if self._bytes + len(line) > MOST_BYTES:
            self._send()
        joined = loop.create_future()
        self._waiting.append(Waiting(key, line, joined))
        self._bytes += len(line)
        self._joined_at = loop.time()
        if len(self._waiting) >= self.most_requests:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._quiet_s, self._when_quiet)
        await joined

    def _when_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        rest = self._joined_at + self._quiet_s - loop.time()
        if rest > 0:
            self._timer = loop.call_later(rest, self._when_quiet)
        else:
            self._send()

    def _send(self) -> None:
        waiting = [member for member in self._waiting if not member.joined.cancelled()]
        self._waiting, self._bytes = [], 0
        for start in range(0, len(waiting), self.most_requests):
            group = waiting[start : start + self.most_requests]
            self._hand_on([member.key for member in group], b"".join(one.line for one in group))
            for member in group:
                member.joined.set_result(None)

    def close(self, error: UserError) -> None:
        """Hand on nothing more: all that wait get the error."""
        if self._timer is not None:
            self._timer.cancel()
        for member in self._waiting:
            if not member.joined.done():
                member.joined.set_exception(fresh(error))
