"""The budget of a run in money and tokens: reserved before a request, settled after its reply."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from pacos.errors import UserError
from pacos.llm.ledger import Spent

ROUNDING_USD = 1e-9
"""Tolerance in US dollars: a sum of prices can exceed an equal limit in its last bit."""


class BudgetReached(UserError):  # noqa: N818
    """The next request might cost more than is left."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The worst-case cost of one request."""

    tokens: int
    usd: float


class Budget:
    """A limit that holds even if every request in flight costs its worst case.

    Requests that a service bills without answering are not counted: tries that timed out, and
    those in flight when the process was killed, at most `concurrency` per life.

    Args:
        usd: US dollars; None for no limit.
        tokens: of prompts and replies; None for no limit.
        spent: by earlier lives. Replies of unknown price count as 0 dollars.
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
        """Reserve the worst case of a request; wait while requests in flight may free enough.

        Raises:
            BudgetReached: the request does not fit even with nothing else in flight.
        """
        wanted = Reservation(tokens, usd)
        # Behind those that wait, even if it fits: small requests must not starve a large one.
        if self._waiting or not self._fits(wanted):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((wanted, turn))
            self._admit()
            try:
                await turn
            except asyncio.CancelledError:
                # Cancelled after it was admitted: free the reservation.
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.settle(wanted, 0, 0.0)
                raise
        else:
            self._take(wanted)
        return wanted

    def settle(self, reservation: Reservation, tokens: int, usd: float) -> None:
        """Replace a reservation by the actual cost, which is 0 if there was no reply."""
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
        """Admit waiting requests in order; refuse the first if nothing in flight can free more."""
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
