"""The batch client: asks through the Batch API, at half the price and within a day."""

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
from pacos.llm.batch.batching import Batcher
from pacos.llm.batch.journal import Journal
from pacos.llm.config import EndpointConfig
from pacos.llm.http.dialect import DialectLearner
from pacos.llm.http.failures import (
    EndpointDown,
    Failure,
    FailureKind,
    classify_response,
    copy_of,
    error_in_reply,
)
from pacos.llm.http.transport import Transport
from pacos.llm.http.wire import MalformedReplyError
from pacos.llm.request import Reply, Request

log = logging.getLogger("pacos.llm")

QUIET_S = 5.0
"""Seconds without a new request after which the waiting ones are sent as a batch."""
POLL_S = 60.0
"""Seconds between two polls of a batch, which takes minutes at least."""

CROWDED = "token_limit_exceeded"
"""Error code if the account has as many tokens in unfinished batches as it may."""


class BatchClient:
    """A language model that answers in batches: `async with BatchClient(…) as client`.

    Args:
        config: of the service.
        journal: path of batches.jsonl, beside the ledger, whose lock covers it too.
        answered: keys of requests that already have a reply.
        quiet_s: seconds without a new request after which a batch is sent.
        poll_s: seconds between two polls of a batch.
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
        self._transport = Transport(config)
        self._api = BatchApi(config, self._transport, poll_s)
        self._journal = Journal(journal, answered)
        self._batcher = Batcher(quiet_s, self._send)
        self._learner = DialectLearner(config.structured_output)
        self._batches: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._in_progress: set[str] = set()
        self._has_answered = False
        self._halted: UserError | None = None

    async def __aenter__(self) -> BatchClient:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        await asyncio.gather(*self._batches.values(), return_exceptions=True)
        await self._transport.__aexit__(kind, error, traceback)

    def stop(self) -> None:
        """Send and await nothing more. The next life finds the batches through the journal."""
        self._halt(UserError("stopped before the batch was answered"))

    def _halt(self, error: UserError) -> UserError:
        """Make every request raise the error, unless an earlier error did; return it."""
        if self._halted is None:
            self._halted = error
            self._batcher.close(error)
            for task in self._batches.values():
                task.cancel()
        return error

    async def ask(self, request: Request) -> Reply:
        """Return the reply once the request's batch has ended.

        Raises:
            EndpointDown: the service answers nothing any more.
            UserError: the service refuses the key, model, account or batch.
        """
        tries = 0
        while True:
            if self._halted is not None:
                raise copy_of(self._halted)
            name = self._journal.batch_of(request.key)
            if name is None:
                await self._join(request)
                continue
            dialect = self._learner.dialect
            lines = await self._lines(name)
            # While waiting, the batch may have been voided, or this request moved to another.
            if self._journal.batch_of(request.key) != name:
                continue
            outcome = self._read(lines.pop(request.key, None), request)
            if isinstance(outcome, Reply):
                return outcome
            if outcome.kind is FailureKind.bad_request or (
                outcome.kind is FailureKind.unclear and self._has_answered
            ):
                return Reply.failed(outcome.reason)
            is_adapted = outcome.kind is FailureKind.bad_field and self._learner.adapt(
                dialect, request, outcome.field
            )
            is_final = outcome.kind in (
                FailureKind.refused,
                FailureKind.unclear,
                FailureKind.bad_field,
            )
            if is_final and not is_adapted:
                raise self._halt(self._transport.refusal(outcome))
            tries += not is_adapted
            if tries > self._config.retries:
                return self._give_up(request, outcome, tries)
            self._journal.release(request.key)

    def _give_up(self, request: Request, failure: Failure, tries: int) -> Reply:
        if self._has_answered:
            log.warning(f"request {request.key[:12]} is given up: {failure.reason}")
            return Reply.failed(f"{tries} batches: {failure.reason}")
        raise self._halt(
            EndpointDown(
                f"endpoint {self._config.url} (model {request.model}) answers nothing: {tries} "
                f"batches, the last: {failure.reason}; the same command tries again"
            )
        )

    async def _join(self, request: Request) -> None:
        """Put the request into the next batch."""
        order = {
            "custom_id": request.key,
            "method": "POST",
            "url": self._transport.batch_path,
            "body": self._transport.wire.body(request, self._learner.dialect),
        }
        await self._batcher.join(request.key, json.dumps(order).encode() + b"\n")

    def _send(self, keys: list[str], lines: bytes) -> None:
        """Plan a batch and start processing it."""
        name = secrets.token_hex(8)
        self._journal.plan(name, keys)
        self._batches[name] = asyncio.create_task(self._process(name, lines))

    async def _lines(self, name: str) -> dict[str, Any]:
        """Wait for a batch to end; return its answers by key. Callers remove those they use."""
        if name not in self._batches:
            self._batches[name] = asyncio.create_task(self._process(name, None))
        task = self._batches[name]
        try:
            # Shielded: a cancelled request must not cancel the batch that others wait for.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._halted is not None and task.cancelled():
                raise copy_of(self._halted) from None
            raise

    async def _process(self, name: str, lines: bytes | None) -> dict[str, Any]:
        """Wait for the end of a batch; return its answers.

        Args:
            name: ours.
            lines: content of the file to create it from; None if an earlier life created it.
        """
        entry = self._journal.entry(name)
        try:
            if entry.id is None:
                if lines is None:
                    # Planned, but no id on record: that life may have ended before the response.
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
                await self._handle_refusal(name, batch)
                return {}
            answers = await self._api.answers(batch)
        except UserError as error:
            self._halt(error)
            raise
        self._has_answered |= any(_status(line) == 200 for line in answers.values())
        return answers

    async def _handle_refusal(self, name: str, batch: dict[str, Any]) -> None:
        """Free the requests of a batch that was refused as a whole, and make room if it was full.

        Raises:
            UserError: the batch was refused for another reason than room.
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
            # Alone and still too large: halve until it fits.
            self._batcher.most_requests = count // 2
            log.info(f"{reason}: batches of {self._batcher.most_requests} requests from now on")
        else:
            raise UserError(
                f"endpoint {self._config.url} (model {self._config.model}) refused batch "
                f"{batch['id']}: {reason}; correct that, or use endpoint.mode=live; the same "
                "command goes on"
            )

    def _read(self, line: dict[str, Any] | None, request: Request) -> Reply | Failure:
        """Read a line of an output or error file; None for a request without a line."""
        if line is None:
            return Failure(FailureKind.transient, "its batch ended without it")
        status = _status(line)
        if status is None:
            error = line.get("error") or {}
            reason = f"{error.get('code')}: {error.get('message')}"
            return Failure(FailureKind.transient, reason)
        body = line["response"].get("body")
        if status != 200:
            return classify_response(status, {}, json.dumps(body).encode())
        try:
            return error_in_reply(body) or self._transport.wire.read(body, request)
        except MalformedReplyError as error:
            return Failure(FailureKind.transient, str(error))


def _status(line: dict[str, Any]) -> int | None:
    return (line.get("response") or {}).get("status_code")
