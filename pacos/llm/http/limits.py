"""Limits on requests to a service: their rate, and how many are in flight at once."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from pacos.errors import UserError
from pacos.llm.http.failures import copy_of


class Bucket:
    """A rate limit: a token bucket with room for one request, so that requests never burst.

    The worst case of a request is reserved before it is sent; the unused part is given back.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._free_at = 0.0

    def reserve(self, amount: float, now: float) -> float:
        """Reserve `amount` at the earliest moment; return the seconds until then."""
        start = max(now, self._free_at)
        self._free_at = start + amount / self._per_second
        return start - now

    def give_back(self, amount: float) -> None:
        """Return part of a reservation."""
        self._free_at -= amount / self._per_second


class Gate:
    """A limit on requests in flight: additive increase, multiplicative decrease, as in TCP.

    Overload halves the limit, once for all requests sent before the last halving. Each round of
    answers raises it again by a twentieth of the maximum.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._step = max(1.0, most / 20)
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._halved_at = -math.inf
        self._shut: UserError | None = None

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    async def enter(self) -> None:
        """Wait for a turn, first come, first served.

        Raises:
            UserError: the error that the gate was shut with.
        """
        if self._shut is not None:
            raise copy_of(self._shut)
        if self._in_flight < self.limit and not self._waiting:
            self._in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled after the turn was granted: pass it on, or the limit shrinks for good.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """End a turn."""
        self._in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)

    def answered(self) -> None:
        """Raise the limit: the service keeps up."""
        if self._limit < self._most:
            # `_limit` answers make one round, so each contributes its share of the step.
            self._limit = min(self._most, self._limit + self._step / self._limit)
            self._admit()

    def overloaded(self, sent_at: float, now: float) -> bool:
        """Halve the limit because of a request sent at `sent_at`; return True if it was halved."""
        if sent_at < self._halved_at:
            # Sent under the old limit: it says nothing about the new one.
            return False
        self._halved_at = now
        self._limit = max(1.0, self._limit / 2)
        return True

    def shut(self, error: UserError) -> None:
        """Raise the error in every request that waits now or enters later."""
        if self._shut is None:
            self._shut = error
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(copy_of(self._shut))
