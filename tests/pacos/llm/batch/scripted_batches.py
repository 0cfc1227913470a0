"""The files and batches of the scripted server."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]] | None]


class Batches:
    """Files and batches in memory.

    Args:
        answer: status and body for one line's request; None lets it expire.
        looks: how often a batch is looked at before it ends.
        lost_answers: creations of batches that happen, but whose answer is cut off.
        refuse: messages with which batches fail, one a batch.
        room: requests that may be in unfinished batches; more fail as OpenAI's token limit does.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        looks: int = 1,
        lost_answers: int = 0,
        refuse: tuple[str, ...] = (),
        room: int = 10**9,
    ) -> None:
        self.looks, self.lost_answers, self.room = looks, lost_answers, room
        self.refuse = list(refuse)
        self.bought: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}
        self.created: dict[str, dict[str, Any]] = {}
        self._answer = answer
        self._looks: Counter[str] = Counter()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one call below /files or /batches."""
        parts = request.path.strip("/").split("/")[1:]
        if parts[0] == "files" and request.method == "POST":
            return await self._upload(request)
        if parts[0] == "files" and parts[-1] == "content":
            return web.Response(body=self.files[parts[1]])
        if parts[0] == "files":
            return web.json_response({"id": parts[1], "status": "processed"})
        if parts == ["batches"] and request.method == "POST":
            return self._create(request, json.loads(await request.read()))
        if parts == ["batches"]:
            return self._list(request)
        if parts[0] == "batches" and parts[1] in self.created:
            return web.json_response(self._look(parts[1]))
        return web.json_response({"error": {"message": "no such thing"}}, status=404)

    async def _upload(self, request: web.BaseRequest) -> web.Response:
        async for part in await request.multipart():
            if part is not None and getattr(part, "name", None) == "file":
                name = f"file-{len(self.files)}"
                self.files[name] = bytes(await part.read())  # type: ignore[union-attr]
        return web.json_response({"id": name, "status": "pending"})

    def _create(self, request: web.BaseRequest, sent: dict[str, Any]) -> web.Response:
        lines = self._lines(sent["input_file_id"])
        batch: dict[str, Any] = {
            **sent,
            "id": f"batch-{len(self.created)}",
            "status": "in_progress",
            "created_at": int(time.time()),
            "request_counts": {"total": len(lines), "completed": 0},
        }
        unfinished = sum(
            other["request_counts"]["total"]
            for other in self.created.values()
            if other["status"] == "in_progress"
        )
        if self.refuse or unfinished + len(lines) > self.room:
            message = self.refuse.pop(0) if self.refuse else "Enqueued token limit reached"
            code = "token_limit_exceeded" if "token limit" in message else "invalid"
            batch["errors"] = {"data": [{"code": code, "message": message}]}
            batch["status"] = "failed"
        self.created[batch["id"]] = batch
        if batch["status"] == "in_progress":
            self.bought.update(line["custom_id"] for line in lines)
        if self.lost_answers:
            self.lost_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(batch)

    def _lines(self, file_id: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[file_id].splitlines()]

    def _list(self, request: web.BaseRequest) -> web.Response:
        newest_first = list(self.created.values())[::-1]
        ids = [batch["id"] for batch in newest_first]
        after = request.query.get("after")
        start = ids.index(after) + 1 if after else 0
        page = newest_first[start : start + 2]
        has_more = start + 2 < len(newest_first)
        return web.json_response({"data": page, "has_more": has_more})

    def _look(self, batch_id: str) -> dict[str, Any]:
        batch = self.created[batch_id]
        self._looks[batch_id] += 1
        if batch["status"] == "in_progress" and self._looks[batch_id] >= self.looks:
            self._end(batch)
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        good, bad, status = [], [], "completed"
        for line in self._lines(batch["input_file_id"]):
            found = self._answer(line["body"])
            if found is None:
                status = "expired"
                error = {"code": "batch_expired", "message": "not executed in time"}
                bad.append({"custom_id": line["custom_id"], "response": None, "error": error})
                continue
            response = {"status_code": found[0], "body": found[1]}
            record = {"custom_id": line["custom_id"], "response": response, "error": None}
            (good if found[0] == 200 else bad).append(record)
        for kind, records in {"output_file_id": good, "error_file_id": bad}.items():
            if records:
                batch[kind] = f"file-{len(self.files)}"
                text = "".join(json.dumps(record) + "\n" for record in records)
                self.files[batch[kind]] = text.encode()
        batch["status"] = status
        batch["request_counts"]["completed"] = len(good)
