"""The HTTP client: asks a service as fast as it allows, and retries as long as it makes sense."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import dataclass
from types import TracebackType

from pacos.errors import UserError
from pacos.llm.config import EndpointConfig
from pacos.llm.http.dialect import DialectLearner
from pacos.llm.http.failures import (
    EndpointDown,
    Failure,
    FailureKind,
    copy_of,
    error_in_reply,
)
from pacos.llm.http.limits import Bucket, Gate
from pacos.llm.http.transport import Transport
from pacos.llm.http.wire import MalformedReplyError
from pacos.llm.request import Reply, Request, Sampling
from pacos.seeds import derived_seed

log = logging.getLogger("pacos.llm")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
"""Pauses between tries double from the first to the longest, with a jitter of ±50 %."""

THROTTLED_COST = 0.1
"""Share of a try that a 429 uses up while other requests are answered. It says nothing about the
request itself, but must not repeat forever."""

PROBE_TOKENS = 16
"""Longest reply, in tokens, to the tiny request that tests if a service answers at all."""

JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Tries:
    """The retry state of one request."""

    left: float
    """Tries left. Below 0 the request is given up."""
    number: int = 0
    """Tries so far."""
    is_last: bool = False
    """True once the service is known to answer others: if this try fails, the request is at
    fault."""


class HttpClient:
    """A language model behind HTTP: `async with HttpClient(config) as client: client.ask(…)`."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._transport = Transport(config)
        self._gate = Gate(config.concurrency)
        self._request_rates = _buckets(config.requests_per_second, config.requests_per_minute)
        self._token_rates = _buckets(config.tokens_per_second, config.tokens_per_minute)
        self._learner = DialectLearner(config.structured_output)
        self._answered_at = -math.inf
        self._resume_at = -math.inf

    async def __aenter__(self) -> HttpClient:
        self._loop = asyncio.get_running_loop()
        self._halted: asyncio.Future[UserError] = self._loop.create_future()
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        await self._transport.__aexit__(kind, error, traceback)

    def stop(self) -> None:
        """Send nothing more. Replies to requests in flight are still accepted."""
        self._halt(UserError("stopped before the request was sent"))

    def _halt(self, error: UserError) -> UserError:
        """Make every later request raise the error; return it."""
        self._gate.shut(error)
        if not self._halted.done():
            self._halted.set_result(error)
        return error

    async def ask(self, request: Request) -> Reply:
        """Return the reply. Its finish is `error` if this request, unlike others, has none.

        Raises:
            EndpointDown: the service answers nothing any more.
            UserError: the service refuses the key, model or account. Every later request raises it.
        """
        tries = Tries(self._config.retries)
        while True:
            outcome = await self._take_turn(request)
            tries.number += 1
            if isinstance(outcome, Reply):
                return outcome
            if outcome.kind is FailureKind.bad_request or (
                outcome.kind is FailureKind.unclear
                and (self._answered_at > -math.inf or await self._is_alive(request))
            ):
                return Reply.failed(outcome.reason)
            if outcome.kind in (FailureKind.refused, FailureKind.unclear, FailureKind.bad_field):
                raise self._halt(self._transport.refusal(outcome))
            if tries.is_last:
                log.warning(f"request {request.key[:12]} is given up: {outcome.reason}")
                return Reply.failed(f"{tries.number} tries: {outcome.reason}")
            self._use_up(tries, outcome)
            if tries.left < 0:
                await self._check_service(request, outcome, tries)
            else:
                await self._pause(max(outcome.wait or 0.0, pause_s(request.key, tries.number)))

    async def _take_turn(self, request: Request) -> Reply | Failure:
        """Wait until the request may be sent, then try once."""
        await self._gate.enter()
        try:
            if self._halted.done():
                raise copy_of(self._halted.result())
            if self._request_rates or self._token_rates or self._resume_at > self._loop.time():
                return await self._try_within_limits(request)
            return await self._try(request)
        finally:
            self._gate.leave()

    async def _try_within_limits(self, request: Request) -> Reply | Failure:
        now = self._loop.time()
        worst = request.estimated_prompt_tokens() + request.sampling.max_tokens
        delays = [bucket.reserve(1, now) for bucket in self._request_rates]
        delays += [bucket.reserve(worst, now) for bucket in self._token_rates]
        await self._pause(max(delays, default=0.0))
        # A loop: another request may extend the pause while this one sleeps.
        while self._resume_at > self._loop.time():
            await self._pause(self._resume_at - self._loop.time())
        outcome = await self._try(request)
        if isinstance(outcome, Reply):
            used = outcome.prompt_tokens + outcome.completion_tokens
            for bucket in self._token_rates:
                bucket.give_back(worst - used)
        return outcome

    async def _try(self, request: Request) -> Reply | Failure:
        """Send the request, and again at once if only its dialect was wrong."""
        while True:
            dialect = self._learner.dialect
            content = json.dumps(self._transport.wire.body(request, dialect)).encode()
            sent_at = self._loop.time()
            url = self._transport.request_url
            response = await self._transport.send("POST", url, content, JSON)
            outcome = response if isinstance(response, Failure) else self._read(response, request)
            if isinstance(outcome, Reply) or outcome.kind is FailureKind.bad_request:
                # A request refused for its own sake proves that the service works, too.
                self._answered_at = self._loop.time()
                self._gate.answered()
                return outcome
            if outcome.kind is not FailureKind.bad_field or not self._learner.adapt(
                dialect, request, outcome.field
            ):
                self._slow_down(outcome, sent_at)
                return outcome

    def _read(self, content: bytes, request: Request) -> Reply | Failure:
        try:
            document = json.loads(content)
            return error_in_reply(document) or self._transport.wire.read(document, request)
        except ValueError:
            return Failure(FailureKind.transient, f"not JSON: {content[:200]!r}")
        except MalformedReplyError as error:
            return Failure(FailureKind.transient, str(error))

    def _slow_down(self, failure: Failure, sent_at: float) -> None:
        """Ask less of a service that cannot keep up."""
        if failure.kind not in (FailureKind.throttled, FailureKind.overloaded):
            return
        now = self._loop.time()
        if failure.wait is not None:
            # Requests in flight report the same pause: warn only if it grows by over a minute.
            if now + failure.wait > max(now, self._resume_at) + LONGEST_PAUSE_S:
                log.warning(f"{self._config.url} asks for a pause of {failure.wait:.0f} s")
            self._resume_at = max(self._resume_at, now + failure.wait)
        if self._gate.overloaded(sent_at, now):
            log.warning(f"{failure.reason}: {self._gate.limit} requests in flight from now on")

    def _use_up(self, tries: Tries, failure: Failure) -> None:
        """Deduct one try."""
        is_served = self._answered_at > self._loop.time() - LONGEST_PAUSE_S
        throttled = failure.kind is FailureKind.throttled
        tries.left -= THROTTLED_COST if throttled and is_served else 1.0

    async def _check_service(self, request: Request, failure: Failure, tries: Tries) -> None:
        """Find out, before the last try, if the request or the service is at fault.

        An outage must not be mistaken for a bad request, whose failure is stored and never asked
        again. Nor may one bad request, asked last, stop a run in each of its lives.

        Raises:
            EndpointDown: other requests are not answered either.
        """
        tries.is_last = await self._is_alive(request)
        if not tries.is_last:
            raise self._halt(
                EndpointDown(
                    f"endpoint {self._config.url} (model {request.model}) answers nothing: "
                    f"{tries.number} tries, the last: {failure.reason}; when the service is back, "
                    "the same command goes on: all replies are kept"
                )
            )

    async def _is_alive(self, request: Request) -> bool:
        """Return True if a tiny request of the same kind, or any other meanwhile, is answered."""
        hello = "Hello" if isinstance(request.prompt, str) else ({"role": "user", "content": "Hi"},)
        tiny = Request(
            endpoint=request.endpoint,
            model=request.model,
            prompt=hello,
            sampling=Sampling(max_tokens=PROBE_TOKENS),
        )
        began = self._loop.time()
        await self._try(tiny)
        return self._answered_at >= began

    async def _pause(self, seconds: float) -> None:
        """Sleep until the time is over or the client is halted.

        Raises:
            UserError: the error that the client was halted with.
        """
        if seconds > 0:
            await asyncio.wait((self._halted,), timeout=seconds)
        if self._halted.done():
            raise copy_of(self._halted.result())


def pause_s(key: str, number: int) -> float:
    """Return the seconds to wait before the next try of a request.

    The jitter is derived from the request's key, so no process state affects it.

    Args:
        key: of the request.
        number: of tries so far.
    """
    jitter = derived_seed(0, key, number) / 2**63
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (number - 1)) * (0.5 + jitter)


def _buckets(per_second: float | None, per_minute: float | None) -> list[Bucket]:
    rates = (per_second, None if per_minute is None else per_minute / 60)
    return [Bucket(rate) for rate in rates if rate is not None]
