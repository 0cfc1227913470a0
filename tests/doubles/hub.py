"""A hub on the loopback: repositories with their files, gates, and connections that break."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+))?/?(.*)"
)
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """One repository, at one commit."""

    files: dict[str, bytes]
    gated: bool = False
    """Only those with `granted` as token get its files."""
    cuts: dict[str, int] = field(default_factory=dict)
    """File to bytes after which its next answer breaks off."""
    stalls: set[str] = field(default_factory=set)
    """Files whose answers never come."""

    @property
    def sha(self) -> str:
        content = json.dumps({name: digest(data) for name, data in self.files.items()})
        return hashlib.sha1(content.encode()).hexdigest()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Hub(ThreadingHTTPServer):
    """Serves models and data sets by their ids."""

    daemon_threads = True

    def __init__(
        self, models: Mapping[str, Repository], datasets: Mapping[str, Repository]
    ) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.models, self.datasets = dict(models), dict(datasets)
        self.granted = "hf_granted"
        self.stalled, self.ended = threading.Event(), threading.Event()
        self.asked: list[tuple[str, str, str | None]] = []
        """Method, path and range of every request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files_sent(self) -> list[str]:
        """Names of files whose content was asked for, in order."""
        matches = [
            FILE.fullmatch(urlsplit(path).path) for method, path, _ in self.asked if method == "GET"
        ]
        return [unquote(match[4]) for match in matches if match]


@contextmanager
def serve(
    models: Mapping[str, Repository] | None = None,
    datasets: Mapping[str, Repository] | None = None,
) -> Iterator[Hub]:
    hub = Hub(models or {}, datasets or {})
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        path = unquote(urlsplit(self.path).path)
        file, api = FILE.fullmatch(path), API.fullmatch(path)
        if file:
            self._file(file)
        elif api:
            self._describe(api, body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _find(self, kind: str, name: str, revision: str | None) -> Repository | None:
        """The repository at a revision; answers itself where there is none."""
        found = (self.server.datasets if kind == "datasets" else self.server.models).get(name)
        if found is None:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", found.sha):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return found

    def _describe(self, asked: re.Match[str], body: bytes) -> None:
        kind, name, what, revision, _ = asked.groups()
        repository = self._find(kind, name, revision)
        if repository is None:
            return
        if what in (None, "revision"):
            siblings = [
                {"rfilename": file, "size": len(data)} for file, data in repository.files.items()
            ]
            facts = {
                "_id": "0",
                "id": name,
                "sha": repository.sha,
                "siblings": siblings,
                "private": False,
                "gated": "manual" if repository.gated else False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "lastModified": "2026-01-01T00:00:00.000Z",
            }
            self._json(facts)
            return
        wanted = set(json.loads(body or b"{}").get("paths", [])) if what == "paths-info" else None
        self._json(
            [
                {
                    "type": "file",
                    "path": file,
                    "size": len(data),
                    "oid": digest(data)[:40],
                    "lfs": {"oid": digest(data), "size": len(data), "pointerSize": 100},
                }
                for file, data in repository.files.items()
                if wanted is None or file in wanted
            ]
        )

    def _file(self, asked: re.Match[str]) -> None:
        kind, name, revision, file = asked.groups()
        repository = self._find("datasets" if kind else "models", name, revision)
        if repository is None:
            return
        if (
            repository.gated
            and self.headers.get("Authorization") != f"Bearer {self.server.granted}"
        ):
            code = 403 if self.headers.get("Authorization") else 401
            self._send(code, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"})
            return
        data = repository.files.get(file)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.sha})
            return
        headers = {
            "ETag": f'"{digest(data)}"',
            "X-Linked-Etag": f'"{digest(data)}"',
            "X-Linked-Size": str(len(data)),
            "X-Repo-Commit": repository.sha,
            "Accept-Ranges": "bytes",
        }
        if asked_range := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            begin = int(asked_range[1])
            end = int(asked_range[2] or len(data) - 1) + 1
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
            data = data[begin:end]
        if file in repository.stalls and self.command == "GET":
            self.server.stalled.set()
            self.server.ended.wait()
            return
        code = 206 if asked_range else 200
        cut = repository.cuts.pop(file, None) if self.command == "GET" else None
        self._send(code, data, headers, cut)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self, code: int, data: bytes, headers: Mapping[str, str], cut: int | None = None
    ) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True
