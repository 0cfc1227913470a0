"""Grouping of requests into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pacos.errors import UserError
from pacos.llm.http.failures import copy_of

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""OpenAI's limits for one batch and its file. Azure allows more requests."""


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request that waits for the next batch."""

    key: str
    line: bytes
    """Its line of the batch file."""
    joined: asyncio.Future[None]
    """Done once the request is in a batch."""


class Batcher:
    """Groups requests: a group is complete if no request joins for a while, or at the limits.

    Args:
        quiet_s: seconds without a new request that complete a group.
        send: takes the keys of a group and the content of its file.
    """

    def __init__(self, quiet_s: float, send: Callable[[list[str], bytes], None]) -> None:
        self.most_requests = MOST_REQUESTS
        self._quiet_s = quiet_s
        self._send_group = send
        self._queue: list[QueuedRequest] = []
        self._bytes = 0
        self._joined_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def join(self, key: str, line: bytes) -> None:
        """Wait until the request is in a batch.

        Raises:
            UserError: the error that the batcher was closed with.
        """
        loop = asyncio.get_running_loop()
        if self._bytes + len(line) > MOST_BYTES:
            self._send()
        joined = loop.create_future()
        self._queue.append(QueuedRequest(key, line, joined))
        self._bytes += len(line)
        self._joined_at = loop.time()
        if len(self._queue) >= self.most_requests:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._quiet_s, self._when_quiet)
        await joined

    def _when_quiet(self) -> None:
        # One timer that re-arms itself, rather than a new one for each of 50,000 requests.
        loop = asyncio.get_running_loop()
        self._timer = None
        rest = self._joined_at + self._quiet_s - loop.time()
        if rest > 0:
            self._timer = loop.call_later(rest, self._when_quiet)
        else:
            self._send()

    def _send(self) -> None:
        queue = [request for request in self._queue if not request.joined.cancelled()]
        self._queue, self._bytes = [], 0
        # In several groups, because `most_requests` can shrink while requests wait.
        for start in range(0, len(queue), self.most_requests):
            group = queue[start : start + self.most_requests]
            keys = [request.key for request in group]
            self._send_group(keys, b"".join(request.line for request in group))
            for request in group:
                request.joined.set_result(None)

    def close(self, error: UserError) -> None:
        """Send nothing more: every waiting request raises the error."""
        if self._timer is not None:
            self._timer.cancel()
        for request in self._queue:
            if not request.joined.done():
                request.joined.set_exception(copy_of(error))
