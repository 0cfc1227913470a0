"""A W&B server as the client of wandb 0.31 sees it: runs by id, their history line by line."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

OPERATION = re.compile(r"(?:query|mutation)\s+(\w+)")
STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")


@dataclass
class Run:
    """What the server knows of a run."""

    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Lines by their place in wandb-history.jsonl."""
    lives: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    summary: str = "{}"

    def logged(self, name: str) -> list[Any]:
        """Values of a metric, in the order of lines."""
        return [line[name] for _, line in sorted(self.history.items()) if name in line]


class WandbDouble:
    """Listens on the loopback interface while the context lasts."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.status = 200
        """Of every answer."""
        self.delay = 0.0
        """Seconds before every answer."""
        self.received: list[bytes] = []
        """Paths and bodies of all requests."""
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = double.answer(self.path, body)
                self.send_response(double.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = handle_request  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> WandbDouble:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """What a client needs to find it."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online"}

    def answer(self, path: str, body: bytes) -> bytes:
        self.received.append(path.encode() + body)
        time.sleep(self.delay)
        if self.status != 200:
            return b"{}"
        if path.startswith("/graphql"):
            request = json.loads(body)
            operation = OPERATION.search(request["query"])
            assert operation
            return json.dumps({"data": self._data(operation[1], request["variables"])}).encode()
        if stream := STREAM.fullmatch(path):
            self._stream(self.runs[stream[3]], json.loads(body))
        return b"{}"

    def _data(self, operation: str, given: dict[str, Any]) -> dict[str, Any] | None:
        place = {"id": "P", "name": "pacos", "entity": {"id": "E", "name": "me"}}
        if operation == "RunResumeStatus":
            run = self.runs.get(given["name"])
            return {"model": {**place, "bucket": run and _resumed(given["name"], run)}}
        if operation == "UpsertBucket":
            run = self.runs.setdefault(given["name"], Run())
            run.lives += given["displayName"] is not None
            run.config |= json.loads(given["config"] or "{}")
            bucket = {"id": "B", "name": given["name"], "displayName": given["displayName"] or ""}
            bucket |= {"description": "", "config": "{}", "sweepName": None}
            bucket |= {"historyLineCount": len(run.history), "project": place}
            return {"upsertBucket": {"bucket": bucket, "inserted": run.lives == 1}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "B", "uploadHeaders": [], "files": files}}
        return None

    def _stream(self, run: Run, sent: dict[str, Any]) -> None:
        files = sent.get("files", {})
        lines = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        for place, line in enumerate(lines["content"], lines["offset"]):
            run.history[place] = json.loads(line)
        if "wandb-summary.json" in files:
            (run.summary,) = files["wandb-summary.json"]["content"]


def _resumed(name: str, run: Run) -> dict[str, Any]:
    tail = [json.dumps(line) for _, line in sorted(run.history.items())][-1:]
    counts = {"logLineCount": 0, "historyLineCount": len(run.history), "eventsLineCount": 0}
    tails = {"historyTail": json.dumps(tail), "eventsTail": "[]"}
    facts = {
        "summaryMetrics": run.summary,
        "config": json.dumps(run.config),
        "tags": [],
        "notes": "",
    }
    known = {"id": "B", "name": name, "displayName": name, "wandbConfig": "{}"}
    return {**known, **counts, **tails, **facts, "tags": [], "notes": ""}
