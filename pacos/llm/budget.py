"""Money and tokens that a run may spend: reserved before a request is sent, settled afterwards."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from pacos.errors import UserError
from pacos.llm.ledger import Spent

ROUNDING_USD = 1e-9
"""Sums of prices may differ in the last bit from the limit that they add up to."""


class BudgetReached(UserError):  # noqa: N818
    """The next request might cost more than is left."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that one request can cost."""

    tokens: int
    usd: float


class Budget:
    """Never spends more than it has, counted at the worst case of all that is under way.

    Not counted is what a service bills without an answer: a try that timed out, and what a killed
    process had under way, at most `concurrency` requests a life.

    Args:
        usd: US dollars, None for no limit.
        tokens: of prompts and replies, None for no limit.
        spent: by earlier lives. Dollars of replies whose price was unknown count as 0.
    """

    def __init__(
        self, usd: float | None = None, tokens: int | None = None, spent: Spent | None = None
    ) -> None:
        before = spent or Spent()
        self._most_usd, self._most_tokens = usd, tokens
        self._usd = before.usd or 0.0
        self._tokens = before.prompt_tokens + before.completion_tokens
        self._reserved = 0
        self._waiting: deque[tuple[Reservation, asyncio.Future[None]]] = deque()

    async def reserve(self, tokens: int, usd: float) -> Reservation:
        """Set aside the worst case of a request; waits while requests under way may leave enough.

        Raises:
            BudgetReached: it does not fit even if nothing else is under way.
        """
        wanted = Reservation(tokens, usd)
        if self._waiting or not self._fits(wanted):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((wanted, turn))
            self._admit()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.settle(wanted, 0, 0.0)
                raise
        else:
            self._take(wanted)
        return wanted

    def settle(self, reservation: Reservation, tokens: int, usd: float) -> None:
        """Replace what was reserved by what was spent: 0 if the request came to nothing."""
        self._reserved -= 1
        self._tokens += tokens - reservation.tokens
        self._usd += usd - reservation.usd
        self._admit()

    def _take(self, wanted: Reservation) -> None:
        self._reserved += 1
        self._tokens += wanted.tokens
        self._usd += wanted.usd

    def _fits(self, wanted: Reservation) -> bool:
        if self._most_usd is not None and self._usd + wanted.usd > self._most_usd + ROUNDING_USD:
            return False
        return self._most_tokens is None or self._tokens + wanted.tokens <= self._most_tokens

    def _admit(self) -> None:
        """Let in who waits, first come first served; refuse when there is nothing to wait for."""
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
            elif self._fits(wanted):
                self._waiting.popleft()
                self._take(wanted)
                turn.set_result(None)
            elif self._reserved == 0:
                self._waiting.popleft()
                turn.set_exception(BudgetReached(self._message(wanted)))
            else:
                return

    def _message(self, wanted: Reservation) -> str:
        limits, spent, needed = [], [], []
        if self._most_usd is not None:
            limits.append(f"budget_usd = {self._most_usd:g}")
            spent.append(f"${self._usd:.4f}")
            needed.append(f"${wanted.usd:.4f}")
        if self._most_tokens is not None:
            limits.append(f"budget_tokens = {self._most_tokens}")
            spent.append(f"{self._tokens} tokens")
            needed.append(f"{wanted.tokens} tokens")
        return (
            f"{', '.join(limits)}: reached; {' and '.join(spent)} spent, and the next request may "
            f"take {' and '.join(needed)}; raise it: every reply is kept"
        )
