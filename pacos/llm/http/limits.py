"""How fast and how broadly a service is asked."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from pacos.errors import UserError
from pacos.llm.http.faults import fresh


class Bucket:
    """A rate limit: a token bucket that holds one request, so that no second sees a burst.

    What a request may need is reserved before it is sent; what it did not need is given back.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._free_at = 0.0

    def reserve(self, amount: float, now: float) -> float:
        """Take `amount` at the next moment it can be had; returns the seconds until then."""
        start = max(now, self._free_at)
        self._free_at = start + amount / self._per_second
        return start - now

    def give_back(self, amount: float) -> None:
        """Return part of what was reserved."""
        self._free_at -= amount / self._per_second


class Gate:
    """How many requests are under way at once: additive increase, multiplicative decrease.

    The limit is halved when the service is overloaded, once for all requests that were sent before
    it was halved last, and grows again by a twentieth of the most for each round of answers.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._step = max(1.0, most / 20)
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._halved_at = -math.inf
        self._shut: UserError | None = None

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return int(self._limit)

    async def enter(self) -> None:
        """Wait for a turn, first come first served.

        Raises:
            UserError: that which the gate was shut with.
        """
        if self._shut is not None:
            raise fresh(self._shut)
        if self._under_way < self.limit and not self._waiting:
            self._under_way += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """End a turn."""
        self._under_way -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._under_way < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)

    def answered(self) -> None:
        """Widen: the service keeps up."""
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + self._step / self._limit)
            self._admit()

    def overloaded(self, sent_at: float, now: float) -> bool:
        """Narrow for a request sent at `sent_at`; returns whether the limit was halved for it."""
        if sent_at < self._halved_at:
            return False
        self._halved_at = now
        self._limit = max(1.0, self._limit / 2)
        return True

    def shut(self, error: UserError) -> None:
        """Let nobody in any more: all who wait, and all who come, get the error."""
        if self._shut is None:
            self._shut = error
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(fresh(self._shut))
