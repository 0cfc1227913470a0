"""Asks through the Batch API: half the price, answers within a day, and nothing bought twice."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Container
from pathlib import Path
from types import TracebackType
from typing import Any

from pacos.errors import UserError
from pacos.llm.batch.api import BatchApi
from pacos.llm.batch.batching import Gathering
from pacos.llm.batch.journal import Journal
from pacos.llm.config import EndpointConfig
from pacos.llm.http.faults import EndpointDown, Fault, Kind, fault_in, fault_of, fresh
from pacos.llm.http.transport import Link
from pacos.llm.http.wire import MalformedReplyError, Speech, body, reply_of
from pacos.llm.request import Reply, Request

log = logging.getLogger("pacos.llm")

QUIET_S = 5.0
"""Requests that wait are sent as a batch when none has joined them for this long."""
POLL_S = 60.0
"""Between two looks at a batch; it takes minutes at the least."""

CROWDED = "token_limit_exceeded"
"""The account has as many tokens in unfinished batches as it may."""


class Batch:
    """A teacher that answers by batches: `async with Batch(config, journal, ledger) as teacher`.

    Args:
        config: of the service.
        journal: path of batches.jsonl, beside the ledger, whose lock it shares.
        answered: keys of requests that need no reply any more.
        quiet_s: seconds without a new request after which a batch is sent.
        poll_s: seconds between two looks at a batch.
    """

    def __init__(
        self,
        config: EndpointConfig,
        journal: Path,
        answered: Container[str],
        *,
        quiet_s: float = QUIET_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._config = config
        self._link = Link(config)
        self._api = BatchApi(config, self._link, poll_s)
        self._journal = Journal(journal, answered)
        self._gathering = Gathering(quiet_s, self._send)
        self._speech = Speech(config.structured_output)
        self._batches: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._in_progress: set[str] = set()
        self._has_answered = False
        self._halted: UserError | None = None

    async def __aenter__(self) -> Batch:
        await self._link.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        await asyncio.gather(*self._batches.values(), return_exceptions=True)
        await self._link.__aexit__(kind, error, traceback)

    def stop(self) -> None:
        """Send and await nothing more. The journal finds the batches again in the next life."""
        self._halt(UserError("stopped before the batch was answered"))

    def _halt(self, error: UserError) -> UserError:
        """Make every ask raise the error, if it is the first; returns it."""
        if self._halted is None:
            self._halted = error
            self._gathering.close(error)
            for task in self._batches.values():
                task.cancel()
        return error

    async def ask(self, request: Request) -> Reply:
        """The reply, when the batch that the request is in has ended.

        Raises:
            EndpointDown: nothing is answered any more.
            UserError: the service refuses key, model, account or batch.
        """
        tries = 0
        while True:
            if self._halted is not None:
                raise fresh(self._halted)
            name = self._journal.batch_of(request.key)
            if name is None:
                await self._join(request)
                continue
            spoken = self._speech.dialect
            lines = await self._lines(name)
            if self._journal.batch_of(request.key) != name:
                continue
            outcome = _read(lines.pop(request.key, None), request)
            if isinstance(outcome, Reply):
                return outcome
            if outcome.kind is Kind.request or (
                outcome.kind is Kind.unclear and self._has_answered
            ):
                return Reply.failure(outcome.reason)
            is_adapted = outcome.kind is Kind.field and self._speech.adapt(
                spoken, request, outcome.field
            )
            if outcome.kind in (Kind.refused, Kind.unclear, Kind.field) and not is_adapted:
                raise self._halt(self._link.refusal(outcome))
            tries += not is_adapted
            if tries > self._config.retries:
                return self._give_up(request, outcome, tries)
            self._journal.release(request.key)

    def _give_up(self, request: Request, fault: Fault, tries: int) -> Reply:
        if self._has_answered:
            log.warning(f"request {request.key[:12]} is given up: {fault.reason}")
            return Reply.failure(f"{tries} batches: {fault.reason}")
        raise self._halt(
            EndpointDown(
                f"endpoint {self._config.url} (model {request.model}) answers nothing: {tries} "
                f"batches, the last: {fault.reason}; the same command tries again"
            )
        )

    async def _join(self, request: Request) -> None:
        """Have the request put into the next batch."""
        order = {
            "custom_id": request.key,
            "method": "POST",
            "url": self._link.asked_path,
            "body": body(request, self._speech.dialect),
        }
        await self._gathering.join(request.key, json.dumps(order).encode() + b"\n")

    def _send(self, keys: list[str], lines: bytes) -> None:
        """Plan a batch, and begin with it."""
        name = secrets.token_hex(8)
        self._journal.plan(name, keys)
        self._batches[name] = asyncio.create_task(self._process(name, lines))

    async def _lines(self, name: str) -> dict[str, Any]:
        """The answers of a batch by key, when it has ended; whoever uses one takes it out."""
        if name not in self._batches:
            self._batches[name] = asyncio.create_task(self._process(name, None))
        task = self._batches[name]
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._halted is not None and task.cancelled():
                raise fresh(self._halted) from None
            raise

    async def _process(self, name: str, lines: bytes | None) -> dict[str, Any]:
        """Create a batch of these lines, or find that of an earlier life, and wait for its end."""
        entry = self._journal.entry(name)
        try:
            if entry.id is None:
                if lines is None:
                    batch_id = await self._api.find(name, entry.planned_at)
                else:
                    file_id = await self._api.upload(name, lines)
                    batch_id = await self._api.create(name, file_id, entry.planned_at)
                if batch_id is None:
                    self._journal.void(name)
                    return {}
                self._journal.create(name, batch_id)
            self._in_progress.add(name)
            batch = await self._api.wait(str(entry.id))
            self._in_progress.remove(name)
            if batch["status"] == "failed":
                await self._take_refusal(name, batch)
                return {}
            found = await self._api.answers(batch)
        except UserError as error:
            self._halt(error)
            raise
        self._has_answered |= any(_status(line) == 200 for line in found.values())
        return found

    async def _take_refusal(self, name: str, batch: dict[str, Any]) -> None:
        """A batch was refused as a whole: free its requests, and make room if that was missing.

        Raises:
            UserError: for any other reason.
        """
        errors = (batch.get("errors") or {}).get("data") or []
        reason = "; ".join(str(error.get("message")) for error in errors[:3]) or "no reason given"
        count = len(self._journal.entry(name).keys)
        self._journal.void(name)
        is_crowded = any(error.get("code") == CROWDED for error in errors)
        others = [self._batches[other] for other in self._in_progress]
        if is_crowded and others:
            log.info(f"{reason}: waiting for another batch of this run to end")
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        elif is_crowded and count > 1:
            self._gathering.most_requests = count // 2
            log.info(f"{reason}: batches of {self._gathering.most_requests} requests from now")
        else:
            raise UserError(
                f"endpoint {self._config.url} (model {self._config.model}) refused batch "
                f"{batch['id']}: {reason}; put that right, or use endpoint.mode=live; the same "
                "command goes on"
            )


def _status(line: dict[str, Any]) -> int | None:
    return (line.get("response") or {}).get("status_code")


def _read(line: dict[str, Any] | None, request: Request) -> Reply | Fault:
    """What a line of an output or error file says; None is a request that has no line."""
    if line is None:
        return Fault(Kind.broken, "its batch ended without it")
    status = _status(line)
    if status is None:
        error = line.get("error") or {}
        return Fault(Kind.broken, f"{error.get('code')}: {error.get('message')}")
    answer = line["response"].get("body")
    if status != 200:
        return fault_of(status, {}, json.dumps(answer).encode())
    try:
        return fault_in(answer) or reply_of(answer, request)
    except MalformedReplyError as error:
        return Fault(Kind.broken, str(error))
