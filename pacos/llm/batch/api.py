"""Calls of the Batch API: upload requests, create a batch, poll it, download the answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from pacos.errors import UserError
from pacos.llm.config import EndpointConfig
from pacos.llm.http.client import JSON, pause_s
from pacos.llm.http.failures import EndpointDown, Failure, FailureKind
from pacos.llm.http.transport import Transport

log = logging.getLogger("pacos.llm")

ENDED = ("completed", "failed", "expired", "cancelled")
LABEL = "pacos"
"""Metadata key under which a batch carries our name for it."""
SKEW_S = 3600.0
"""Assumed maximum difference between this machine's clock and the service's, in seconds."""
RETRIED = (FailureKind.throttled, FailureKind.overloaded, FailureKind.transient)

T = TypeVar("T")


class BatchApi:
    """The Batch API of one service. Each call is retried as often as the config allows.

    Every method raises `EndpointDown` if the service answers nothing, and `UserError` if it
    refuses.
    """

    def __init__(self, config: EndpointConfig, transport: Transport, poll_s: float) -> None:
        self._config = config
        self._transport = transport
        self._poll_s = poll_s

    async def upload(self, name: str, lines: bytes) -> str:
        """Upload a JSONL file of requests; return its id once a batch can use it."""

        def form() -> aiohttp.FormData:
            # Built anew for every try: aiohttp refuses to send the same form twice.
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", lines, filename=f"{name}.jsonl", content_type="application/json")
            return form

        file = await self._call("POST", self._transport.url("files"), json.loads, form)
        # OpenAI's files can be used at once; Azure validates them first.
        while file.get("status") in ("pending", "running"):
            await asyncio.sleep(min(1.0, self._poll_s))
            file = await self._call("GET", self._transport.url(f"files/{file['id']}"), json.loads)
        return str(file["id"])

    async def create(self, name: str, file_id: str, since: float) -> str:
        """Create the batch `name`; return its id.

        A call whose response was lost may have succeeded, so it is repeated only if the service
        does not list the batch. Otherwise the requests would be bought twice.
        """
        order = {
            "input_file_id": file_id,
            "endpoint": self._transport.batch_path,
            "completion_window": "24h",
            "metadata": {LABEL: name},
        }
        content = json.dumps(order).encode()
        for number in itertools.count():
            url = self._transport.url("batches")
            response = await self._transport.send("POST", url, content, JSON)
            if not isinstance(response, Failure):
                return str(json.loads(response)["id"])
            await self._retry_pause(response, name, number)
            batch_id = await self.find(name, since)
            if batch_id is not None:
                return batch_id
        raise AssertionError("itertools.count() is endless")

    async def find(self, name: str, since: float) -> str | None:
        """Return the id of the batch created as `name` after the Unix time `since`, if any."""
        url = self._transport.url("batches").update_query({"limit": "100"})
        while True:
            page = await self._call("GET", url, json.loads)
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get(LABEL) == name:
                    return str(batch["id"])
            # The newest come first, so an old enough last one ends the search.
            oldest = page["data"][-1] if page["data"] else None
            if not page.get("has_more") or oldest is None or oldest["created_at"] < since - SKEW_S:
                return None
            url = url.update_query({"after": oldest["id"]})

    async def wait(self, batch_id: str) -> dict[str, Any]:
        """Poll a batch until it has ended, successfully or not; return it."""
        logged = None
        while True:
            url = self._transport.url(f"batches/{batch_id}")
            batch = await self._call("GET", url, json.loads)
            counts = batch.get("request_counts") or {}
            state = f"{batch['status']}, {counts.get('completed', 0)} of {counts.get('total', '?')}"
            if state != logged:
                log.info(f"batch {batch_id}: {state}")
                logged = state
            if batch["status"] in ENDED:
                return dict(batch)
            await asyncio.sleep(self._poll_s)

    async def answers(self, batch: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the lines of an ended batch's output and error files, by custom id."""
        lines = {}
        for file_id in (batch.get("output_file_id"), batch.get("error_file_id")):
            if file_id:
                url = self._transport.url(f"files/{file_id}/content")
                for line in await self._call("GET", url, _read_lines):
                    lines[line["custom_id"]] = line
        return lines

    async def _call(
        self,
        method: str,
        url: URL,
        read: Callable[[bytes], T],
        form: Callable[[], aiohttp.FormData] | None = None,
    ) -> T:
        for number in itertools.count():
            response = await self._transport.send(method, url, form() if form else None)
            if not isinstance(response, Failure):
                try:
                    return read(response)
                except ValueError:
                    reason = f"not JSON: {response[:200]!r}"
                    response = Failure(FailureKind.transient, reason)
            await self._retry_pause(response, str(url), number)
        raise AssertionError("itertools.count() is endless")

    async def _retry_pause(self, failure: Failure, name: str, number: int) -> None:
        """Wait before the next try, or raise if there is none."""
        if failure.status in (404, 405, 501):
            raise UserError(
                f"endpoint {self._config.url} has no Batch API, or has deleted the file or batch "
                f"({failure.reason}); use endpoint.mode=live"
            )
        if failure.kind not in RETRIED:
            raise self._transport.refusal(failure)
        if number >= self._config.retries:
            raise EndpointDown(
                f"endpoint {self._config.url} does not answer calls of its Batch API: "
                f"{number + 1} tries, the last: {failure.reason}; when the service is back, the "
                "same command goes on: nothing is lost"
            )
        await asyncio.sleep(max(failure.wait or 0.0, pause_s(name, number + 1)))


def _read_lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]
