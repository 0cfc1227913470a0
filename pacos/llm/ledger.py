"""The ledger: every reply under the key of its request, so that nothing is bought twice."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pacos.errors import UserError
from pacos.files import append_jsonl, fsync_folder, json_line
from pacos.llm.offset_index import OffsetIndex
from pacos.llm.request import Reply, Request

HEAD = re.compile(
    rb'\{"key": "([0-9a-f]{64})", "prompt_tokens": (\d+), "completion_tokens": (\d+), '
    rb'"usd": (null|[0-9.e+-]+), '
)
"""Start of a record. Opening a ledger reads only this, five times faster than parsing its JSON, so
the order and spacing of these fields are part of the file format."""

REPLY_FIELDS = ("text", "finish", "logprobs", "tokens", "error")
"""Fields of a reply that are not in the head of its record."""

READ_BYTES = 16384
"""Bytes to read at a time when a record is looked up. Most records fit."""


@dataclass(slots=True)
class Spent:
    """The cost of all replies in a ledger."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    """None if the price of any reply was unknown."""

    def add(self, prompt_tokens: int, completion_tokens: int, usd: float | None) -> None:
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.usd = None if usd is None or self.usd is None else self.usd + usd


def find_records(path: Path, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the records of some requests by their key, as far as the ledger has them.

    Another process may hold the ledger, and write to it.
    """
    wanted = {key.encode() for key in keys}
    found: dict[str, dict[str, Any]] = {}
    with path.open("rb") as file:
        for line in file:
            head = HEAD.match(line)
            if head is not None and head[1] in wanted and line.endswith(b"\n"):
                found[head[1].decode()] = json.loads(line)
    return found


class Ledger:
    """A JSONL file of replies. A reply is on disk before anything uses it.

    Only one process at a time can hold a ledger: it is locked until it is closed or the process
    ends. Only offsets are kept in memory; replies are read from the file on demand.

    Raises:
        UserError: another process holds the ledger, or the file is not a ledger.
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
                f"{self.path} is in use by another process; wait until that ends, or stop it"
            ) from error
        append_jsonl(self.path, [])  # Cuts off a torn last line.
        fsync_folder(self.path.parent)
        return descriptor

    def _scan(self) -> int:
        """Index the existing records; return the size of the file."""
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                head = HEAD.match(line)
                if head is None:
                    raise UserError(
                        f"{self.path}:{number}: not a record of a ledger; restore the file, or "
                        "move it away to ask everything again"
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
        """Return the stored reply to a request; None if it was never answered."""
        offset = self._index.get(request.key)
        if offset is None:
            return None
        record = json.loads(self._line(offset))
        # The index knows only 64 bits of the key.
        if record["key"] != request.key:
            return None
        reply = record["reply"]
        return Reply(
            prompt_tokens=record["prompt_tokens"],
            completion_tokens=record["completion_tokens"],
            logprobs=tuple(reply.pop("logprobs")),
            # Absent in ledgers of earlier versions.
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
        """Store a reply and its cost in US dollars, None if unknown. It is on disk on return.

        Replies that arrive during a write are written together by the next one, in a thread: an
        fsync per reply would limit the rate to that of the disk.

        Raises:
            OSError: the write failed. Nothing of it is left in the file.
        """
        record = {
            "key": request.key,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "usd": usd,
            "sent": request.sent(),
            "reply": {name: getattr(reply, name) for name in REPLY_FIELDS},
        }
        stored = asyncio.get_running_loop().create_future()
        # A prompt may hold lone surrogates, which UTF-8 cannot encode.
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
            # A partial line would end up in the middle of the file after the next write.
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
        """Release the file. Await pending `store` calls first, or use `async with`."""
        self._writer.shutdown()
        os.close(self._file)
