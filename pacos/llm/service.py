"""What stages ask: a teacher behind a ledger and a budget."""

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
from pacos.llm.request import Reply, Request, Teacher

GRACE_S = 30.0
"""Time for replies that are under way when the service closes. They are paid for; Slurm gives a job
this long (KillWait) between its warning and its end."""


@dataclass(slots=True)
class Counts:
    """What became of the requests of this life."""

    asked: int = 0
    """Answered by the teacher."""
    from_ledger: int = 0
    """Answered by an earlier life, or earlier in this one."""
    failed: int = 0
    """Replies with finish `error`, from teacher or ledger."""
    prompt_tokens: int = 0
    """Of requests that the teacher answered."""
    completion_tokens: int = 0
    usd: float | None = 0.0
    """US dollars spent in this life; None if the price is not known."""


class Service:
    """A teacher that answers each request once and for all.

    Args:
        teacher: answers what the ledger cannot.
        ledger: keeps every reply.
        budget: None for no limit. It has to know what the ledger's replies cost.
        price: of the teacher's tokens; None if it is not known.
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        self.counts = Counts(usd=None if price is None else 0.0)
        self._teacher = teacher
        self._ledger = ledger
        self._budget = budget or Budget()
        self._price = price
        self._under_way: dict[str, asyncio.Task[Reply]] = {}

    async def ask(self, request: Request) -> Reply:
        """The reply, which is in the ledger by now; with finish `error` if there can be none.

        Equal requests at the same time are asked once. A caller that is cancelled does not stop a
        request that is under way.

        Raises:
            BudgetReached: the request might cost more than is left.
            EndpointDown: the teacher answers nothing.
            UserError: the teacher cannot be asked, and what to do about it.
        """
        task = self._under_way.get(request.key)
        if task is None:
            reply = self._ledger.get(request)
            if reply is not None:
                self.counts.from_ledger += 1
                self.counts.failed += reply.finish == "error"
                return reply
            task = asyncio.create_task(self._buy(request))
            self._under_way[request.key] = task
            task.add_done_callback(lambda done: self._forget(request.key, done))
        return await asyncio.shield(task)

    @property
    def spent(self) -> Spent:
        """What all replies of the ledger cost, those of earlier lives too."""
        return self._ledger.spent

    def _forget(self, key: str, task: asyncio.Task[Reply]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen, even if whoever asked is gone

    async def _buy(self, request: Request) -> Reply:
        prompt_tokens, max_tokens = request.estimated_prompt_tokens(), request.sampling.max_tokens
        worst = self._usd(prompt_tokens, max_tokens) or 0.0
        reservation = await self._budget.reserve(prompt_tokens + max_tokens, worst)
        try:
            reply = await self._teacher.ask(request)
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
        """Begin nothing more, and store the replies that come within GRACE_S seconds."""
        self._teacher.stop()
        tasks = list(self._under_way.values())
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Replay:
    """A teacher that knows nothing: every reply has to be in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def ask(self, request: Request) -> Reply:
        raise UserError(
            f"{self._ledger.path} has no reply to request {request.key[:12]} (model "
            f"{request.model}): a replay asks no model. Use endpoint.mode=live, or the config and "
            "seed that the ledger was made with; to replay another run's, copy its ledger there"
        )

    def stop(self) -> None:
        pass


@asynccontextmanager
async def open_service(config: EndpointConfig, folder: Path) -> AsyncIterator[Service]:
    """The service of a config, with its ledger.jsonl in `folder`; what is under way is stored.

    Raises:
        UserError: another process has the ledger, or the environment lacks the API key.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(Ledger(folder / "ledger.jsonl"))
        teacher = await _open_teacher(config, ledger, folder, stack)
        price, spent = config.price(), ledger.spent
        if spent.usd is None and price is not None:
            usd = price.usd(spent.prompt_tokens, spent.completion_tokens)
            spent = Spent(spent.prompt_tokens, spent.completion_tokens, usd)
        budget = Budget(config.budget_usd, config.budget_tokens, spent)
        service = Service(teacher, ledger, budget, price)
        stack.push_async_callback(service.close)
        yield service


async def _open_teacher(
    config: EndpointConfig, ledger: Ledger, folder: Path, stack: AsyncExitStack
) -> Teacher:
    if config.mode is Mode.replay:
        return Replay(ledger)
    from pacos.llm.batch.service import Batch
    from pacos.llm.http.client import Client

    if config.mode is Mode.batch:
        return await stack.enter_async_context(Batch(config, folder / "batches.jsonl", ledger))
    return await stack.enter_async_context(Client(config))
