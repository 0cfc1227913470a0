"""Asks a service over HTTP, as fast as it allows and as patiently as it needs."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import dataclass
from types import TracebackType

from pacos.errors import UserError
from pacos.llm.config import EndpointConfig
from pacos.llm.http.faults import EndpointDown, Fault, Kind, fault_in, fresh
from pacos.llm.http.limits import Bucket, Gate
from pacos.llm.http.transport import Link
from pacos.llm.http.wire import MalformedReplyError, Speech, body, reply_of
from pacos.llm.request import Reply, Request, Sampling
from pacos.seeds import derived_seed

log = logging.getLogger("pacos.llm")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
"""Pauses between tries double from the first to the longest, and are jittered by half."""

THROTTLED_COST = 0.1
"""What a 429 takes of a request's tries while other requests are answered: it tells nothing about
the request, yet must not go on for ever."""

JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Tries:
    """What became of one request so far."""

    left: float
    """Further tries; below 0 it is given up."""
    number: int = 0
    """Tries so far."""
    is_last: bool = False
    """The service is known to answer others: if this try fails, the request is to blame."""


class Client:
    """A teacher behind HTTP: `async with Client(config) as client: await client.ask(request)`."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._link = Link(config)
        self._gate = Gate(config.concurrency)
        self._requests = [
            Bucket(rate)
            for rate in (config.requests_per_second, _a_second(config.requests_per_minute))
            if rate is not None
        ]
        self._tokens = [
            Bucket(rate)
            for rate in (config.tokens_per_second, _a_second(config.tokens_per_minute))
            if rate is not None
        ]
        self._speech = Speech(config.structured_output)
        self._answered_at = -math.inf
        self._resume_at = -math.inf

    async def __aenter__(self) -> Client:
        self._loop = asyncio.get_running_loop()
        self._halted: asyncio.Future[UserError] = self._loop.create_future()
        await self._link.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        await self._link.__aexit__(kind, error, traceback)

    def stop(self) -> None:
        """Send nothing more; replies to what was sent are still taken."""
        self._halt(UserError("stopped before the request was sent"))

    def _halt(self, error: UserError) -> None:
        self._gate.shut(error)
        if not self._halted.done():
            self._halted.set_result(error)

    async def ask(self, request: Request) -> Reply:
        """The reply; with finish `error` where this request, and no other, cannot be answered.

        Raises:
            EndpointDown: nothing is answered any more.
            UserError: the service refuses key, model or account; every later request gets the same.
        """
        tries = Tries(self._config.retries)
        while True:
            outcome = await self._take_turn(request)
            tries.number += 1
            if isinstance(outcome, Reply):
                return outcome
            if outcome.kind is Kind.request or (
                outcome.kind is Kind.unclear
                and (self._answered_at > -math.inf or await self._is_alive(request))
            ):
                return Reply.failure(outcome.reason)
            if outcome.kind in (Kind.refused, Kind.unclear, Kind.field):
                raise self._end(self._link.refusal(outcome))
            if tries.is_last:
                log.warning(f"request {request.key[:12]} is given up: {outcome.reason}")
                return Reply.failure(f"{tries.number} tries: {outcome.reason}")
            self._count(tries, outcome)
            if tries.left < 0:
                await self._make_sure_it_answers(request, outcome, tries)
            else:
                await self._rest(max(outcome.wait or 0.0, pause_s(request.key, tries.number)))

    async def _take_turn(self, request: Request) -> Reply | Fault:
        """Wait until the request may be sent, then try once."""
        await self._gate.enter()
        try:
            if self._halted.done():
                raise fresh(self._halted.result())
            if self._requests or self._tokens or self._resume_at > self._loop.time():
                return await self._at_its_pace(request)
            return await self._try(request)
        finally:
            self._gate.leave()

    async def _at_its_pace(self, request: Request) -> Reply | Fault:
        now = self._loop.time()
        worst = request.estimated_prompt_tokens() + request.sampling.max_tokens
        delays = [bucket.reserve(1, now) for bucket in self._requests]
        delays += [bucket.reserve(worst, now) for bucket in self._tokens]
        await self._rest(max(delays, default=0.0))
        while self._resume_at > self._loop.time():
            await self._rest(self._resume_at - self._loop.time())
        outcome = await self._try(request)
        if isinstance(outcome, Reply):
            used = outcome.prompt_tokens + outcome.completion_tokens
            for bucket in self._tokens:
                bucket.give_back(worst - used)
        return outcome

    async def _try(self, request: Request) -> Reply | Fault:
        """Send the request, again if it was only worded in a way that the service does not know."""
        while True:
            spoken = self._speech.dialect
            content = json.dumps(body(request, spoken)).encode()
            sent_at = self._loop.time()
            answer = await self._link.send("POST", self._link.ask_url, content, JSON)
            outcome = answer if isinstance(answer, Fault) else _read(answer, request)
            if isinstance(outcome, Reply) or outcome.kind is Kind.request:
                self._answered_at = self._loop.time()
                self._gate.answered()
                return outcome
            if outcome.kind is not Kind.field or not self._speech.adapt(
                spoken, request, outcome.field
            ):
                self._heed(outcome, sent_at)
                return outcome

    def _heed(self, fault: Fault, sent_at: float) -> None:
        """Ask less of a service that cannot keep up."""
        if fault.kind not in (Kind.throttled, Kind.overloaded):
            return
        now = self._loop.time()
        if fault.wait is not None:
            if now + fault.wait > max(now, self._resume_at) + LONGEST_PAUSE_S:
                log.warning(f"{self._config.url} asks for a pause of {fault.wait:.0f} s")
            self._resume_at = max(self._resume_at, now + fault.wait)
        if self._gate.overloaded(sent_at, now):
            log.warning(f"{fault.reason}: {self._gate.limit} requests at once from now")

    def _count(self, tries: Tries, fault: Fault) -> None:
        """Use up a try."""
        is_served = self._answered_at > self._loop.time() - LONGEST_PAUSE_S
        tries.left -= THROTTLED_COST if fault.kind is Kind.throttled and is_served else 1.0

    async def _make_sure_it_answers(self, request: Request, fault: Fault, tries: Tries) -> None:
        """Settle whose fault it is that a request was never answered, before its last try.

        A service that was down must not be taken for a bad request, whose failure is stored and
        never asked for again. Nor may a bad request, asked last, stop a run in all its lives.

        Raises:
            EndpointDown: others are not answered either.
        """
        tries.is_last = await self._is_alive(request)
        if not tries.is_last:
            raise self._end(
                EndpointDown(
                    f"endpoint {self._config.url} (model {request.model}) answers nothing: "
                    f"{tries.number} tries, the last: {fault.reason}; what was answered is kept: "
                    "when the service is back, the same command goes on"
                )
            )

    async def _is_alive(self, request: Request) -> bool:
        """Whether a tiny request of the same kind is answered, or meanwhile any other."""
        hello = "Hello" if isinstance(request.prompt, str) else ({"role": "user", "content": "Hi"},)
        tiny = Request(
            endpoint=request.endpoint,
            model=request.model,
            prompt=hello,
            sampling=Sampling(max_tokens=16),
        )
        began = self._loop.time()
        await self._try(tiny)
        return self._answered_at >= began

    def _end(self, error: UserError) -> UserError:
        self._halt(error)
        return error

    async def _rest(self, seconds: float) -> None:
        """Sleep, unless nothing is to be sent any more.

        Raises:
            UserError: that which the client was halted with.
        """
        if seconds > 0:
            await asyncio.wait((self._halted,), timeout=seconds)
        if self._halted.done():
            raise fresh(self._halted.result())


def _read(content: bytes, request: Request) -> Reply | Fault:
    try:
        document = json.loads(content)
        return fault_in(document) or reply_of(document, request)
    except ValueError:
        return Fault(Kind.broken, f"not JSON: {content[:200]!r}")
    except MalformedReplyError as error:
        return Fault(Kind.broken, str(error))


def pause_s(key: str, number: int) -> float:
    """Seconds before a request is tried again, from its key and the number of tries so far."""
    jitter = derived_seed(0, key, number) / 2**63
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (number - 1)) * (0.5 + jitter)


def _a_second(per_minute: float | None) -> float | None:
    return None if per_minute is None else per_minute / 60
