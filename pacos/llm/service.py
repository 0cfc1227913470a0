"""The service that stages ask: a language model behind a ledger and a budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pacos.errors import UserError
from pacos.llm.budget import Budget
from pacos.llm.config import EndpointConfig, Mode
from pacos.llm.ledger import Ledger, Spent
from pacos.llm.prices import Price
from pacos.llm.request import LanguageModel, Reply, Request
from pacos.run_paths import LEDGER

GRACE_S = 30.0
"""Seconds to wait for replies in flight when the service closes: they are already paid for. Slurm
leaves a job as long (KillWait) between its warning and its kill."""


@dataclass(slots=True)
class Counts:
    """Requests and tokens of this life."""

    asked: int = 0
    """Requests that the model answered."""
    from_ledger: int = 0
    """Requests that an earlier life, or an earlier request of this one, had answered."""
    failed: int = 0
    """Replies with finish `error`, from the model or the ledger."""
    prompt_tokens: int = 0
    """Prompt tokens of the requests that the model answered."""
    completion_tokens: int = 0
    usd: float | None = 0.0
    """US dollars spent in this life. None if the price is unknown."""


class Service:
    """A language model that is asked each request only once: the ledger answers repeats.

    Args:
        model: answers the requests that the ledger cannot.
        ledger: stores every reply.
        budget: None for no limit. It must include the cost of the ledger's replies.
        price: of the model's tokens. None if unknown.
    """

    def __init__(
        self,
        model: LanguageModel,
        ledger: Ledger,
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        self.counts = Counts(usd=None if price is None else 0.0)
        self._model = model
        self._ledger = ledger
        self._budget = budget or Budget()
        self._price = price
        self._in_flight: dict[str, asyncio.Task[Reply]] = {}

    async def ask(self, request: Request) -> Reply:
        """Return the reply, after it is stored. Its finish is `error` if there can be none.

        Equal requests that overlap are sent once. Cancelling a caller does not cancel the request.

        Raises:
            BudgetReached: the request might cost more than is left.
            EndpointDown: the model answers nothing.
            UserError: the model cannot be asked; the message names the remedy.
        """
        task = self._in_flight.get(request.key)
        if task is None:
            reply = self._ledger.get(request)
            if reply is not None:
                self.counts.from_ledger += 1
                self.counts.failed += reply.finish == "error"
                return reply
            task = asyncio.create_task(self._buy(request))
            self._in_flight[request.key] = task
            task.add_done_callback(lambda done: self._forget(request.key, done))
        # Shielded: once sent, a reply is billed, so it is stored even if its caller is cancelled.
        return await asyncio.shield(task)

    @property
    def spent(self) -> Spent:
        """Cost of all replies in the ledger, including those of earlier lives."""
        return self._ledger.spent

    def _forget(self, key: str, task: asyncio.Task[Reply]) -> None:
        del self._in_flight[key]
        if not task.cancelled():
            # Retrieve the exception, or asyncio warns about it if every caller was cancelled.
            task.exception()

    async def _buy(self, request: Request) -> Reply:
        prompt_tokens, max_tokens = request.estimated_prompt_tokens(), request.sampling.max_tokens
        worst = self._usd(prompt_tokens, max_tokens) or 0.0
        reservation = await self._budget.reserve(prompt_tokens + max_tokens, worst)
        try:
            reply = await self._model.ask(request)
            usd = self._usd(reply.prompt_tokens, reply.completion_tokens)
            await self._ledger.store(request, reply, usd)
        except BaseException:
            self._budget.settle(reservation, 0, 0.0)
            raise
        self._budget.settle(reservation, reply.prompt_tokens + reply.completion_tokens, usd or 0.0)
        self._count(reply, usd)
        return reply

    def _usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        return None if self._price is None else self._price.usd(prompt_tokens, completion_tokens)

    def _count(self, reply: Reply, usd: float | None) -> None:
        counts = self.counts
        counts.asked += 1
        counts.failed += reply.finish == "error"
        counts.prompt_tokens += reply.prompt_tokens
        counts.completion_tokens += reply.completion_tokens
        if counts.usd is not None and usd is not None:
            counts.usd += usd

    async def close(self) -> None:
        """Start nothing new, and store the replies that arrive within GRACE_S seconds."""
        self._model.stop()
        tasks = list(self._in_flight.values())
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Replay:
    """A language model that answers nothing: every reply must be in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def ask(self, request: Request) -> Reply:
        raise UserError(
            f"{self._ledger.path} has no reply to request {request.key[:12]} (model "
            f"{request.model}), and a replay asks no model; use endpoint.mode=live, or the config "
            "and seed that made the ledger; to replay another run, copy its ledger here"
        )

    def stop(self) -> None:
        pass


@asynccontextmanager
async def open_service(config: EndpointConfig, folder: Path) -> AsyncIterator[Service]:
    """Open the service of a config, with its ledger.jsonl in `folder`.

    On exit, replies in flight are stored (see `GRACE_S`).

    Raises:
        UserError: another process holds the ledger, or the API key is not in the environment.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(Ledger(folder / LEDGER))
        model = await _open_model(config, ledger, folder, stack)
        price, spent = config.price(), ledger.spent
        if spent.usd is None and price is not None:
            # An earlier life did not know the price. Charge its tokens at today's, or the budget
            # would count them as free.
            usd = price.usd(spent.prompt_tokens, spent.completion_tokens)
            spent = Spent(spent.prompt_tokens, spent.completion_tokens, usd)
        budget = Budget(config.budget_usd, config.budget_tokens, spent)
        service = Service(model, ledger, budget, price)
        # Pushed last, so it runs before the model and the ledger close.
        stack.push_async_callback(service.close)
        yield service


async def _open_model(
    config: EndpointConfig, ledger: Ledger, folder: Path, stack: AsyncExitStack
) -> LanguageModel:
    if config.mode is Mode.replay:
        return Replay(ledger)
    # aiohttp takes 0.6 s to import, which a replay and a model in this process do not need.
    from pacos.llm.batch.client import BatchClient
    from pacos.llm.http.client import HttpClient

    if config.mode is Mode.batch:
        return await stack.enter_async_context(
            BatchClient(config, folder / "batches.jsonl", ledger)
        )
    return await stack.enter_async_context(HttpClient(config))
