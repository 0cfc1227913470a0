"""The Batch API: upload a file of requests, create a batch, look at it, fetch the answers."""

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
from pacos.llm.http.faults import EndpointDown, Fault, Kind
from pacos.llm.http.transport import Link

log = logging.getLogger("pacos.llm")

ENDED = ("completed", "failed", "expired", "cancelled")
LABEL = "pacos"
"""Key of a batch's metadata under which our name for it is."""
SKEW_S = 3600.0
"""Most that the clocks of this machine and of the service are taken to differ."""

T = TypeVar("T")


class BatchApi:
    """Calls with patience: each is tried again as often as the config says.

    Every method raises `EndpointDown` if the service answers nothing, and `UserError` if it
    refuses.
    """

    def __init__(self, config: EndpointConfig, link: Link, poll_s: float) -> None:
        self._config = config
        self._link = link
        self._poll_s = poll_s

    async def upload(self, name: str, lines: bytes) -> str:
        """Upload a JSONL file of requests; returns its id once a batch can be made of it."""

        def form() -> aiohttp.FormData:
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", lines, filename=f"{name}.jsonl", content_type="application/json")
            return form

        file = await self._call("POST", self._link.url("files"), json.loads, form)
        # OpenAI's files can be used at once; Azure reads them first.
        while file.get("status") in ("pending", "running"):
            await asyncio.sleep(min(1.0, self._poll_s))
            file = await self._call("GET", self._link.url(f"files/{file['id']}"), json.loads)
        return str(file["id"])

    async def create(self, name: str, file_id: str, since: float) -> str:
        """Create the batch `name`; returns its id. A call whose answer was lost is not repeated."""
        order = {
            "input_file_id": file_id,
            "endpoint": self._link.asked_path,
            "completion_window": "24h",
            "metadata": {LABEL: name},
        }
        content = json.dumps(order).encode()
        for number in itertools.count():
            answer = await self._link.send("POST", self._link.url("batches"), content, JSON)
            if not isinstance(answer, Fault):
                return str(json.loads(answer)["id"])
            await self._bear(answer, name, number)
            found = await self.find(name, since)
            if found is not None:
                return found
        raise AssertionError("counts for ever")

    async def find(self, name: str, since: float) -> str | None:
        """Id of the batch that was created as `name` after the Unix time `since`, if it was."""
        url = self._link.url("batches").update_query({"limit": "100"})
        while True:
            page = await self._call("GET", url, json.loads)
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get(LABEL) == name:
                    return str(batch["id"])
            oldest = page["data"][-1] if page["data"] else None  # the newest come first
            if not page.get("has_more") or oldest is None or oldest["created_at"] < since - SKEW_S:
                return None
            url = url.update_query({"after": oldest["id"]})

    async def wait(self, batch_id: str) -> dict[str, Any]:
        """The batch when it has ended, whatever became of it."""
        shown = None
        while True:
            batch = await self._call("GET", self._link.url(f"batches/{batch_id}"), json.loads)
            counts = batch.get("request_counts") or {}
            state = f"{batch['status']}, {counts.get('completed', 0)} of {counts.get('total', '?')}"
            if state != shown:
                log.info(f"batch {batch_id}: {state}")
                shown = state
            if batch["status"] in ENDED:
                return dict(batch)
            await asyncio.sleep(self._poll_s)

    async def answers(self, batch: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Lines of the output and error files of a batch that has ended, by custom id."""
        found = {}
        for file_id in (batch.get("output_file_id"), batch.get("error_file_id")):
            if file_id:
                url = self._link.url(f"files/{file_id}/content")
                for line in await self._call("GET", url, _read_lines):
                    found[line["custom_id"]] = line
        return found

    async def _call(
        self,
        method: str,
        url: URL,
        read: Callable[[bytes], T],
        form: Callable[[], aiohttp.FormData] | None = None,
    ) -> T:
        for number in itertools.count():
            answer = await self._link.send(method, url, form() if form else None)
            if not isinstance(answer, Fault):
                try:
                    return read(answer)
                except ValueError:
                    answer = Fault(Kind.broken, f"not JSON: {answer[:200]!r}")
            await self._bear(answer, str(url), number)
        raise AssertionError("counts for ever")

    async def _bear(self, fault: Fault, name: str, number: int) -> None:
        """Wait before the next try, or raise if there is none."""
        if fault.status in (404, 405, 501):
            raise UserError(
                f"endpoint {self._config.url} has no Batch API, or no longer what it was asked for "
                f"({fault.reason}); use endpoint.mode=live"
            )
        if fault.kind not in (Kind.throttled, Kind.overloaded, Kind.broken):
            raise self._link.refusal(fault)
        if number >= self._config.retries:
            raise EndpointDown(
                f"endpoint {self._config.url} answers nothing about batches: {number + 1} tries, "
                f"the last: {fault.reason}; nothing is lost: when the service is back, the same "
                "command goes on"
            )
        await asyncio.sleep(max(fault.wait or 0.0, pause_s(name, number + 1)))


def _read_lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]
