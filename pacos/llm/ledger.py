"""Every reply ever received, under the key of what was sent: nothing is bought twice."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pacos.errors import UserError
from pacos.files import append_jsonl, fsync_folder, json_line
from pacos.llm.offset_index import OffsetIndex
from pacos.llm.request import Reply, Request

HEAD = re.compile(
    rb'\{"key": "([0-9a-f]{64})", "prompt_tokens": (\d+), "completion_tokens": (\d+), '
    rb'"usd": (null|[0-9.e+-]+), '
)
"""Start of a record: all that opening a ledger reads of it, five times faster than its JSON."""

REPLIED = ("text", "finish", "logprobs", "tokens", "error")
"""Fields of a reply that are not in the head of its record."""

READ_BYTES = 16384
"""Read at a time when a record is looked up; a usual record fits."""


@dataclass(slots=True)
class Spent:
    """What all replies of a ledger cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    """None if the price of any reply was not known."""

    def add(self, prompt_tokens: int, completion_tokens: int, usd: float | None) -> None:
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.usd = None if usd is None or self.usd is None else self.usd + usd


class Ledger:
    """A JSONL file of replies. A reply is on the disk before anything is made of it.

    One process at a time has a ledger: it is locked until it is closed or the process ends. Replies
    are read from the file when they are asked for; only their offsets are in memory.

    Raises:
        UserError: another process has the ledger, or the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spent = Spent()
        self._index = OffsetIndex()
        self._file = self._open()
        try:
            self._end = self._scan()
        except BaseException:
            os.close(self._file)
            raise
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._flushing: asyncio.Task[None] | None = None

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise UserError(
                f"{self.path} is in use by another process; wait until it ends, or stop it"
            ) from error
        append_jsonl(self.path, [])  # cuts off a torn last line
        fsync_folder(self.path.parent)
        return descriptor

    def _scan(self) -> int:
        """Index the records that are there; returns the size of the file."""
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                head = HEAD.match(line)
                if head is None:
                    raise UserError(
                        f"{self.path}:{number}: no record of a ledger; restore the file, or move it"
                        " away to ask everything again"
                    )
                key, prompt_tokens, completion_tokens, usd = head.groups()
                self._index.put(key.decode(), offset)
                cost = None if usd == b"null" else float(usd)
                self.spent.add(int(prompt_tokens), int(completion_tokens), cost)
                offset += len(line)
        return offset

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._index.get(key) is not None

    def get(self, request: Request) -> Reply | None:
        """The stored reply to a request; None if it was never answered."""
        offset = self._index.get(request.key)
        if offset is None:
            return None
        record = json.loads(self._line(offset))
        if record["key"] != request.key:
            return None
        reply = record["reply"]
        return Reply(
            prompt_tokens=record["prompt_tokens"],
            completion_tokens=record["completion_tokens"],
            logprobs=tuple(reply.pop("logprobs")),
            tokens=tuple(reply.pop("tokens", ())),
            **reply,
        )

    def _line(self, offset: int) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            block = os.pread(self._file, READ_BYTES, offset + len(line))
            line += block[: block.find(b"\n") + 1] if b"\n" in block else block
        return line

    async def store(self, request: Request, reply: Reply, usd: float | None = None) -> None:
        """Store a reply and its cost in US dollars, None if unknown; on return it is on the disk.

        All replies that come in while the disk is at work are written together, in a thread.

        Raises:
            OSError: the disk would not take it; nothing of it is left in the file.
        """
        record = {
            "key": request.key,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "usd": usd,
            "sent": request.sent(),
            "reply": {name: getattr(reply, name) for name in REPLIED},
        }
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((request.key, json_line(record).encode(errors="replace"), stored))
        self.spent.add(reply.prompt_tokens, reply.completion_tokens, usd)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await stored

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            lines = [line for _, line, _ in group]
            try:
                await loop.run_in_executor(self._writer, self._append, b"".join(lines))
            except OSError as error:
                for _, _, stored in group:
                    if not stored.done():
                        stored.set_exception(error)
                continue
            for key, line, stored in group:
                self._index.put(key, self._end)
                self._end += len(line)
                if not stored.done():
                    stored.set_result(None)
        self._flushing = None

    def _append(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise

    async def __aenter__(self) -> Ledger:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._flushing is not None:
            await self._flushing
        self.close()

    def close(self) -> None:
        """Give the file free. What is being stored has to be stored first: use `async with`."""
        self._writer.shutdown()
        os.close(self._file)
